package tokenauth

import (
	"sync"
	"testing"
)

func TestBudgetGivesNoMoreThanThereIs(t *testing.T) {
	b := NewBudget(100)
	if !b.reserve(60) || b.reserve(41) || !b.reserve(40) || b.reserve(1) {
		t.Error("the budget is not 100")
	}
	b.release(60)
	if b.reserve(61) || !b.reserve(60) {
		t.Error("what was released cannot be had again")
	}
}

func TestNoBudgetIsUnlimited(t *testing.T) {
	var b *Budget
	if !b.reserve(1 << 62) {
		t.Error("refused")
	}
	b.release(1 << 62)
}

func TestBudgetIsSafeForConcurrentUse(t *testing.T) {
	b := NewBudget(10)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 100 {
				if b.reserve(3) {
					b.release(3)
				}
			}
		})
	}
	wg.Wait()
	if !b.reserve(10) || b.reserve(1) {
		t.Error("the budget is not what it was")
	}
}
