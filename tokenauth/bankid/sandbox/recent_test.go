package sandbox

import (
	"maps"
	"slices"
	"testing"
)

func TestRecentForgetsTheOldest(t *testing.T) {
	m := newRecent[string, int](10)
	want := func(keys ...string) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(m.items)); !slices.Equal(got, keys) {
			t.Errorf("holds %v, want %v", got, keys)
		}
		if len(m.oldest) != len(keys) {
			t.Errorf("order is %v", m.oldest)
		}
	}
	m.add("a", 1, 4)
	m.add("b", 2, 3)
	m.add("c", 3, 3)
	want("a", "b", "c")
	m.add("d", 4, 1)
	want("b", "c", "d")
	m.remove("c")
	m.remove("unknown")
	want("b", "d")
	m.add("e", 5, 6)
	want("b", "d", "e")
	m.add("f", 6, 11)
	want("f")
	if v, ok := m.get("f"); !ok || v != 6 || m.weight != 11 {
		t.Errorf("f is %v, %v; weight %d", v, ok, m.weight)
	}
	m.remove("f")
	want()
	if m.weight != 0 {
		t.Errorf("weight is %d", m.weight)
	}
}

func TestOrdersAreBounded(t *testing.T) {
	o := newOrders(0)
	one := orderRequest{documents: []document{{PDF: make(pdfFile, 100)}}, timeout: defaultTimeout}
	first := orderID{path: "p", signID: o.add("p", one)}
	second := orderID{path: "p", signID: o.add("p", one)}
	for range orderRoom/(orderOverhead+100) - 1 {
		o.add("p", one)
	}
	if _, ok := o.status(first); ok {
		t.Error("the oldest order is still there")
	}
	if _, ok := o.status(second); !ok {
		t.Error("the second order is gone")
	}
	if o.open.weight > orderRoom {
		t.Errorf("orders weigh %d", o.open.weight)
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	o := newOrders(0)
	big := orderRequest{documents: []document{{PDF: make(pdfFile, 60<<20)}}, timeout: defaultTimeout} // shared, so that the test is small
	ids := make([]orderID, 5)
	for i := range ids {
		ids[i] = orderID{path: "p", signID: o.add("p", big)}
	}
	if _, ok := o.status(ids[0]); ok {
		t.Error("the oldest order is still there")
	}
	for _, id := range ids[1:] {
		if _, _, ok := o.take(id); !ok {
			t.Error("a newer order is gone")
		}
	}
}

func TestCodesAndServiceTokensAreBounded(t *testing.T) {
	c := newCSCTokens()
	first, ok := c.exchange("sandbox-first")
	if !ok {
		t.Fatal("the first code was refused")
	}
	var last string
	for i := range cscRoom {
		if last, ok = c.exchange("sandbox-" + string(rune('0'+i%10)) + string(rune(0x4e00+i))); !ok {
			t.Fatalf("code %d was refused", i)
		}
	}
	if len(c.codes.items) != cscRoom || len(c.issued.items) != cscRoom {
		t.Errorf("%d codes, %d tokens", len(c.codes.items), len(c.issued.items))
	}
	if got := c.spend(first, "e"); got != unknownToken {
		t.Errorf("first token: %v", got)
	}
	for _, want := range []spending{spent, spentBefore} {
		if got := c.spend(last, "e"); got != want {
			t.Errorf("last token: %v, want %v", got, want)
		}
	}
	if got := c.spend(last, "another"); got != spent {
		t.Errorf("last token elsewhere: %v", got)
	}
}
