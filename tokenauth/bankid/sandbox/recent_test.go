package sandbox

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"
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
	o := newOrders(0, time.Hour)
	one := orderRequest{documents: []document{{PDF: make(pdfFile, 100)}}, timeout: defaultTimeout}
	first := orderID{path: "p", signID: o.add("p", "", one)}
	second := orderID{path: "p", signID: o.add("p", "", one)}
	for range orderRoom/(orderOverhead+100) - 1 {
		o.add("p", "", one)
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
	o := newOrders(0, time.Hour)
	big := orderRequest{documents: []document{{PDF: make(pdfFile, 60<<20)}}, timeout: defaultTimeout} // shared, so that the test is small
	ids := make([]orderID, 5)
	for i := range ids {
		ids[i] = orderID{path: "p", signID: o.add("p", "", big)}
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
	c, tokens := newCodes(time.Minute, new(clock)), newServiceTokens(time.Minute, time.Minute, new(clock))
	at := newCodeBinding("client", "https://rp.example", codeChallenge(CodeVerifier))
	firstCode, firstToken := c.issue(at, Persons()[0]), tokens.issue("", nil)
	var lastCode, lastToken string
	for i := range cscRoom {
		if _, ok := c.use(shortcut+strconv.Itoa(i), at); !ok {
			t.Fatalf("code %d was refused", i)
		}
		lastCode, lastToken = c.issue(at, Persons()[0]), tokens.issue("", nil)
	}
	c.use(shortcut+"another", at)
	if len(c.used.items) != cscRoom || len(c.issued.items) != cscRoom || len(tokens.issued.items) != cscRoom {
		t.Errorf("%d used codes, %d codes, %d tokens", len(c.used.items), len(c.issued.items), len(tokens.issued.items))
	}
	if _, ok := c.use(firstCode, at); ok {
		t.Error("the first code is still there")
	}
	if _, ok := c.use(lastCode, at); !ok {
		t.Error("the last code is gone")
	}
	if _, got := tokens.spend(firstToken, credentialsList); got != unknownToken {
		t.Errorf("first token: %v", got)
	}
	if _, got := tokens.spend(lastToken, credentialsList); got != spent {
		t.Errorf("last token: %v", got)
	}
}

// Who has consented to a code is who signs.
func TestPersonOfACode(t *testing.T) {
	c := newCodes(time.Minute, new(clock))
	at := newCodeBinding("client", "https://rp.example", codeChallenge(CodeVerifier))
	for _, person := range Persons() {
		if got, ok := c.use(c.issue(at, person), at); !ok || got != person {
			t.Errorf("%+v has consented, want %+v", got, person)
		}
	}
	if got, ok := c.use(shortcut, at); !ok || got != Persons()[0] {
		t.Errorf("without a browser, %+v has consented", got)
	}
}

// A code that is used again takes no more room than once.
func TestCodeThatIsUsedAgain(t *testing.T) {
	c := newCodes(time.Minute, new(clock))
	at := newCodeBinding("client", "https://rp.example", codeChallenge(CodeVerifier))
	_, first := c.use(shortcut, at)
	if _, again := c.use(shortcut, at); !first || again {
		t.Fatal("the code is not good once")
	}
	for i := range cscRoom - 1 {
		c.use(shortcut+strconv.Itoa(i), at)
	}
	if _, ok := c.use(shortcut, at); ok {
		t.Error("the code gave way too early")
	}
	c.use(shortcut+"another", at)
	c.use(shortcut+"one more", at)
	if len(c.used.oldest) != cscRoom {
		t.Errorf("%d used codes", len(c.used.oldest))
	}
}

// Every order of three calls, of which the first is credentials/list.
func TestStepsOfAServiceToken(t *testing.T) {
	for _, test := range []struct {
		second, third step
		want          [2]spending
	}{
		{credentialsInfo, credentialsInfo, [2]spending{spent, spentBefore}},
		{credentialsInfo, credentialsAuthorize, [2]spending{spent, spent}},
		{credentialsInfo, signHash, [2]spending{spent, outOfOrder}},
		{credentialsAuthorize, credentialsInfo, [2]spending{spent, spentBefore}},
		{credentialsAuthorize, credentialsAuthorize, [2]spending{spent, spentBefore}},
		{credentialsAuthorize, signHash, [2]spending{spent, spent}},
		{signHash, credentialsInfo, [2]spending{outOfOrder, spent}},
		{signHash, credentialsAuthorize, [2]spending{outOfOrder, spent}},
		{signHash, signHash, [2]spending{outOfOrder, outOfOrder}},
		{credentialsList, credentialsAuthorize, [2]spending{spentBefore, spent}},
	} {
		tokens := newServiceTokens(time.Minute, time.Minute, new(clock))
		token := tokens.issue("", nil)
		for _, early := range []step{credentialsInfo, credentialsAuthorize, signHash} {
			if _, got := tokens.spend(token, early); got != outOfOrder {
				t.Errorf("%v at once: %v", early, got)
			}
		}
		if _, got := tokens.spend(token, credentialsList); got != spent {
			t.Errorf("credentials/list: %v", got)
		}
		_, second := tokens.spend(token, test.second)
		_, third := tokens.spend(token, test.third)
		if got := [2]spending{second, third}; got != test.want {
			t.Errorf("%v, then %v: %v, want %v", test.second, test.third, got, test.want)
		}
	}
}
