package tokenauth

import "sync/atomic"

// A Budget bounds the memory that held request bodies take up together. A nil
// Budget is unlimited.
type Budget struct {
	limit int64
	used  atomic.Int64
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
