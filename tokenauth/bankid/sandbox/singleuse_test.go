package sandbox

import "testing"

func TestSingleUseIsBounded(t *testing.T) {
	s := newSingleUse()
	const last = 1 << 40
	for i := range singleUseRoom + 1 {
		if !s.use(string(rune(0x4e00+i)), 0, last) {
			t.Fatalf("value %d was refused", i)
		}
	}
	if len(s.used.items) != singleUseRoom {
		t.Errorf("%d values", len(s.used.items))
	}
	if s.use(string(rune(0x4e00+singleUseRoom)), 0, last) {
		t.Error("the newest value was accepted again")
	}
	if !s.use(string(rune(0x4e00)), 0, last) {
		t.Error("the oldest value is still remembered")
	}
}
