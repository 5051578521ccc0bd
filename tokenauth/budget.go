package tokenauth

import (
	"bytes"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Sizes of the chunks in which request bodies are held, in bytes: powers of two.
// The larger one is, the fewer readings it takes to fill it, and those are most of
// what it costs to hold a body. The budget does not count what the last one
// leaves empty.
const (
	minChunk = 32 << 10
	maxChunk = 1 << 20
)

// A Budget bounds the memory that held request bodies take up together, and
// uses it again. A nil Budget is unlimited.
type Budget struct {
	limit int64
	used  atomic.Int64
	// chunks are those that nobody uses, by size. A body is large for Go's heap:
	// to allocate and collect each would cost more than to send it.
	chunks [6]sync.Pool // minChunk << 0 to maxChunk
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

// chunk returns memory for n bytes, or for the beginning of them.
func (b *Budget) chunk(n int64) []byte {
	if n < minChunk {
		return make([]byte, n) // not worth keeping
	}
	class := chunkClass(min(n, maxChunk))
	if b != nil {
		if chunk, ok := b.chunks[class].Get().(*[]byte); ok {
			return *chunk
		}
	}
	return make([]byte, minChunk<<class)
}

// chunkClass returns the place among the sizes of the largest that is no more
// than n.
func chunkClass(n int64) int { return bits.Len64(uint64(n/minChunk)) - 1 } //nolint:gosec // not negative

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
		size := int64(cap(chunk))
		if b == nil || size < minChunk || size > maxChunk {
			continue
		}
		if class := chunkClass(size); size == minChunk<<class {
			chunk = chunk[:size]
			b.chunks[class].Put(&chunk)
		}
	}
}
