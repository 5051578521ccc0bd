package gateway

import (
	"slices"
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

// A body is read in few readings, and wastes little memory.
func TestChunksAreAsLargeAsCanBe(t *testing.T) {
	for length, want := range map[int64][]int{
		1:                     {1},
		minChunk - 1:          {minChunk - 1},
		minChunk:              {minChunk},
		3*minChunk + 5:        {2 * minChunk, minChunk, 5},
		maxChunk:              {maxChunk},
		2*maxChunk + minChunk: {maxChunk, maxChunk, minChunk},
		maxChunk - 1:          {maxChunk / 2, maxChunk / 4, maxChunk / 8, maxChunk / 16, maxChunk / 32, minChunk - 1},
	} {
		for _, b := range []*Budget{NewBudget(4 * maxChunk), nil} {
			var got []int
			var chunks [][]byte
			for rest := length; rest > 0; {
				chunk := b.chunk(rest)
				got, chunks = append(got, len(chunk)), append(chunks, chunk)
				rest -= int64(len(chunk))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d bytes are in chunks of %v, want %v", length, got, want)
			}
			b.recycle(chunks)
			if again := b.chunk(length); len(again) != want[0] {
				t.Errorf("after that, the first of %d bytes has %d", length, len(again))
			}
		}
	}
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
