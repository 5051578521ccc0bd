package tokenauth

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// chunkSize is the size, in bytes, of the pieces in which request bodies are
// held. The budget does not count what the last one leaves empty.
const chunkSize = 32 << 10

// A Budget bounds the memory that held request bodies take up together, and
// uses it again. A nil Budget is unlimited.
type Budget struct {
	limit int64
	used  atomic.Int64
	// chunks are those that nobody uses. A body is large for Go's heap: to
	// allocate and collect each would cost more than to send it.
	chunks sync.Pool
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// reserve takes n bytes, or reports false if there are not as many left.
func (b *Budget) reserve(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// release gives n bytes back.
func (b *Budget) release(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// chunk returns memory for n bytes. Small ones are not worth keeping.
func (b *Budget) chunk(n int64) []byte {
	if b != nil && n > chunkSize/2 {
		if chunk, ok := b.chunks.Get().(*[chunkSize]byte); ok {
			return chunk[:n]
		}
		return new([chunkSize]byte)[:n]
	}
	return make([]byte, n)
}

// fit returns the first n bytes of chunk, in other memory if that is much less.
func (b *Budget) fit(chunk []byte, n int) []byte {
	if n > len(chunk)/2 {
		return chunk[:n]
	}
	fitting := bytes.Clone(chunk[:n])
	b.recycle([][]byte{chunk})
	return fitting
}

// recycle takes back the chunks of a body that nobody reads any more.
func (b *Budget) recycle(chunks [][]byte) {
	for _, chunk := range chunks {
		if b != nil && cap(chunk) == chunkSize {
			b.chunks.Put((*[chunkSize]byte)(chunk[:chunkSize]))
		}
	}
}
