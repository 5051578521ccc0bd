package fleet

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// sharing is the number of gateways that share their tokens. As many others do not share, for
// comparison.
const sharing = 3

// A server is the server of a storage. At first, it runs and is empty.
type server interface {
	// option returns the global option of a Caddyfile for the storage.
	option() string

	// stop stops the server, and start starts it with its earlier entries.
	stop()
	start()

	// empty deletes all entries.
	empty()
}

// A bench is a fleet on a storage, and its results.
type bench struct {
	*fleet
	server   server
	overlaps bool            // two gateways can get a lock
	figures  strings.Builder // of this run
	failed   []string        // wrong results
}

// newBench returns a bench without a server.
func newBench(f *fleet) *bench {
	b := &bench{fleet: f}
	f.pace = 100 * time.Millisecond
	f.bank.setDelay(300 * time.Millisecond)
	for _, g := range f.gateways[sharing:] {
		g.alone = true
	}
	f.t.Cleanup(f.stop)
	return b
}

// on puts the bench on a server.
func (b *bench) on(s server) *bench {
	b.server, b.storage = s, s.option()
	return b
}

// sharers are the gateways that share.
func (b *bench) sharers() []int { return b.everyone()[:sharing] }

// restart ends all gateways, and starts the sharing gateways with an empty storage.
func (b *bench) restart(life time.Duration) {
	b.t.Helper()
	b.stop()
	b.server.empty()
	b.bank.setLife(life)
	b.bank.asked()
	b.launchAll(b.sharers()...)
}

// figure records a figure of this run, and whether it is right.
func (b *bench) figure(ok bool, format string, args ...any) {
	b.t.Helper()
	text := fmt.Sprintf(format, args...)
	if !ok {
		b.failed = append(b.failed, text)
		b.t.Errorf("not as it should be: %s", text)
		text = "**" + text + "**"
	}
	if b.figures.Len() > 0 {
		b.figures.WriteString("; ")
	}
	b.figures.WriteString(text)
}

// requests records the number of token requests for a number of tokens.
func (b *bench) requests(what string, got, most int) {
	b.t.Helper()
	b.figure(got <= most && got > 0, "%s %d", what, got)
}

// cold starts all gateways at once with an empty storage, and returns the longest time of a
// first call.
func (b *bench) cold(most int) (longest time.Duration) {
	b.t.Helper()
	b.restart(5 * time.Minute)
	longest = b.all(b.sharers()...)
	b.requests("cold", len(b.bank.asked()), most)
	return longest
}

// warm starts all gateways again, with the stored entries.
func (b *bench) warm(most int) {
	b.t.Helper()
	b.stop()
	b.launchAll(b.sharers()...)
	b.all(b.sharers()...)
	n := len(b.bank.asked())
	b.figure(n <= most, "restarted %d", n)
}

// killed ends the first gateway that asks the provider, while it asks, and returns the longest
// time of the others' calls.
func (b *bench) killed(most int) (longest time.Duration) {
	b.t.Helper()
	b.stop()
	b.server.empty()
	b.bank.setLife(5 * time.Minute) // so that no token is renewed meanwhile
	b.bank.asked()
	release := b.bank.holdTokens()
	defer release()
	b.launchAll(b.sharers()...)
	b.eventually(func() bool { return len(b.bank.waiting()) > 0 })
	holder := slices.IndexFunc(b.gateways, func(g *gateway) bool { return g.address == b.bank.waiting()[0] })
	b.kill(holder)
	release()
	longest = b.all(slices.DeleteFunc(b.sharers(), func(i int) bool { return i == holder })...)
	b.requests("killed", len(b.bank.asked()), most)
	return longest
}

// renewed runs for the life of n tokens, under load, and checks the number of requests for
// each.
func (b *bench) renewed(n, most int) {
	b.t.Helper()
	requests := b.during(n, most)
	b.figure(b.inStep(requests, n, most), "renewed %d for %d", requests, n)
}

// inStep reports whether the number of requests for n tokens is right, with at most the given
// number for each. If gateways ask by themselves, they are not in step: the first may take an
// earlier token, and the others ask for one more.
func (b *bench) inStep(requests, n, most int) bool {
	switch {
	case most > 1:
		return requests > 0 && requests <= n*most+most-1
	case b.overlaps:
		return requests >= n && requests <= n+1+n/10
	default:
		// The count may begin in the middle of a renewal, or when the first gateway has not yet
		// taken a token that another one has asked for.
		return requests >= n-1 && requests <= n+1
	}
}

// during waits, under load, from a change of the first gateway's token until it has had n more
// tokens, and returns the number of requests meanwhile.
func (b *bench) during(n, most int) (requests int) {
	b.t.Helper()
	end := b.load()
	defer b.ended(end)
	b.next()
	if most == 1 {
		b.agree(b.sharers()...)
	}
	b.bank.asked()
	for range n {
		b.next()
	}
	return len(b.bank.asked())
}

// next waits until the first gateway uses another token.
func (b *bench) next() {
	b.t.Helper()
	watched := b.gateways[0].address
	had := b.bank.changed(watched)
	b.eventually(func() bool { return b.bank.changed(watched) > had })
}

// ended ends load, and checks that all its calls succeeded.
func (b *bench) ended(end func() (calls, failures int64)) {
	b.t.Helper()
	calls, failures := end()
	if failures > 0 || b.bank.rejected() > 0 {
		b.figure(false, "of %d calls %d failed, %d had an expired token", calls, failures, b.bank.rejected())
	}
}

// away stops the server until each gateway has had another token, and at least for the life of
// a token. Then it starts the server again.
func (b *bench) away(life time.Duration, most, after int) {
	b.t.Helper()
	b.restart(life)
	b.all(b.sharers()...)
	before := b.logs(b.sharers()...)
	end := b.load()
	b.next()
	b.agree(b.sharers()...)
	b.bank.asked()
	had := make(map[string]int)
	for _, i := range b.sharers() {
		had[b.gateways[i].address] = b.bank.changed(b.gateways[i].address)
	}
	b.server.stop()
	back := time.After(life)
	for address, n := range had {
		b.eventually(func() bool { return b.bank.changed(address) > n })
	}
	b.requests("away", len(b.bank.asked()), most)
	<-back
	b.server.start()
	b.next()
	b.next()
	b.bank.asked()
	b.next()
	n := len(b.bank.asked())
	b.figure(b.inStep(n, 1, after), "back %d", n)
	b.ended(end)
	l := b.logs(b.sharers()...)
	// Each gateway logs once that the server is gone, and once that it is back.
	b.figure(l.alone-before.alone <= sharing && l.again-before.again == l.alone-before.alone,
		"in the log %d alone, %d again", l.alone-before.alone, l.again-before.again)
}

// idle makes no calls, and compares the processor time of the sharing gateways with that of
// the others.
func (b *bench) idle(span time.Duration) {
	b.t.Helper()
	alone := b.everyone()[sharing:]
	b.launchAll(alone...)
	b.all(b.everyone()...)
	took := func() (shared, others time.Duration) { return b.processor(b.sharers()...), b.processor(alone...) }
	shared, others := took()
	<-time.After(span)
	sharedAfter, othersAfter := took()
	shared, others = sharedAfter-shared, othersAfter-others
	// A smaller difference comes from Caddy itself, and from a busy machine. A loop that
	// does not wait takes the whole span.
	b.figure(shared <= others+span/10, "idle for %v %v of the processor, without sharing %v", span, shared, others)
	for _, i := range alone {
		b.kill(i)
	}
}

// clocks sets the clocks of gateways two minutes ahead and back.
func (b *bench) clocks(most int) {
	b.t.Helper()
	b.gateways[1].ahead, b.gateways[2].ahead = 2*time.Minute, -2*time.Minute
	b.restart(15 * time.Second)
	b.all(b.sharers()...)
	cold := len(b.bank.asked())
	b.figure(cold > 0 && cold <= most, "clocks apart, cold %d", cold)
	requests := b.during(2, most)
	b.figure(b.inStep(requests, 2, most), "renewed %d for 2", requests)
	b.stop()
	b.gateways[1].ahead, b.gateways[2].ahead = 0, 0
}

// loads records whether Caddy reloads and starts while the server is away.
func (b *bench) loads(want bool) {
	b.t.Helper()
	b.server.stop()
	defer b.server.start()
	reloads := b.reload(0) == nil
	b.all(0) // as before
	b.stop()
	b.launch(0)
	g := b.gateways[0]
	ended := make(chan struct{})
	go func() {
		_ = g.process.Wait() // the error says that it failed
		close(ended)
	}()
	starts := false
	b.eventually(func() bool {
		select {
		case <-ended:
			return true
		default:
			status, _ := b.call(b.t.Context(), 0)
			starts = status == http.StatusOK
			return starts
		}
	})
	_ = g.process.Process.Kill() // it may have ended
	<-ended
	_ = g.log.Close()
	g.process = nil
	b.figure(reloads == want && starts == want, "while away, it reloads %t, starts %t", reloads, starts)
}

// These say whether the logs say that tokens are not shared.
const (
	saysNothing = iota
	maySay
	says
)

// log records whether the logs are true, and whether the processes that began after the given
// part of them say once that their tokens are not shared.
func (b *bench) log(say int, before logged) {
	b.t.Helper()
	l := b.logs(b.sharers()...)
	alone := l.alone - before.alone
	ok := map[int]bool{saysNothing: alone == 0, maySay: alone <= sharing, says: alone == sharing}[say]
	b.figure(ok && l.untrue == 0, "in the log %d alone, %d untrue", alone, l.untrue)
}
