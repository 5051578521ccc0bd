package downloads

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// kills is how often a gateway is killed.
	kills = 100

	// load is how many downloads are under way then.
	load = 3

	// back is how many callers come back at a time.
	back = 16
)

// A gateway is killed at a hundred random moments of downloads, while others are under way.
// Every document whose manifest was stored is handed over whole by another gateway. The
// others are logged by order and time: by another gateway, or by their own one when the call
// begins without a mark.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, open := range storages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBank(t, 2<<20+17)
			b.pace = time.Millisecond
			f := newFleet(t, b, open(t))
			victim, other := f.gateways[0], f.gateways[1]
			other.start()
			begun := time.Now()
			var orders []string
			for n := range kills {
				victim.start()
				var calls sync.WaitGroup
				ended := make(chan struct{}, load)
				for i := range load {
					order := fmt.Sprintf("order-%d-%d", n, i)
					orders = append(orders, order)
					calls.Go(func() {
						_, _, _ = f.fetch("h1", victim, "app", order) // it breaks off, or not
						ended <- struct{}{}
					})
				}
				switch n % 3 {
				case 0: // at any moment
					<-time.After(rand.N(150 * time.Millisecond))
				case 1: // after the bank has sent a document
					eventually(t, "a whole document", func() bool { return len(ended) > 0 || b.sentAll(orders[len(orders)-1]) })
					<-time.After(rand.N(20 * time.Millisecond))
				case 2: // after a caller has its document
					<-ended
					<-time.After(rand.N(20 * time.Millisecond))
				}
				victim.kill()
				calls.Wait()
			}
			manifests := f.storage.count(".manifest")
			called, sent := make(map[string]bool), make(map[string]bool)
			for _, order := range orders {
				called[order], sent[order] = b.count(order) > 0, b.sentAll(order)
			}
			handed := f.handOver(other, orders)
			// On a busy machine, the storage may not respond in time. Then a caller that
			// comes again gets the document.
			for tries := 1; tries < 5 && len(handed) < manifests; tries++ {
				maps.Copy(handed, f.handOver(other, slices.DeleteFunc(slices.Clone(orders), func(order string) bool { return handed[order] })))
			}
			var handedOver, middle, between, notBegun int
			var lost []string
			for _, order := range orders {
				switch {
				case handed[order]:
					handedOver++
				case !called[order]:
					notBegun++
				case sent[order]:
					between++
					lost = append(lost, order)
				default:
					middle++
					lost = append(lost, order)
				}
			}
			if handedOver != manifests {
				t.Errorf("%d manifests were stored, and %d documents were handed over", manifests, handedOver)
			}
			unmarked := f.logged(other, begun, lost)
			t.Logf("of %d downloads whose gateway was killed at %d moments, another gateway handed over %d whole; %d were lost in the middle, %d between arrival and manifest; %d had not reached the API; of the lost ones, %d began without a mark",
				len(orders), kills, handedOver, middle, between, notBegun, unmarked)
			if handedOver == 0 || middle+between == 0 {
				t.Error("the moments are not random enough")
			}
		})
	}
}

// handOver asks a gateway for orders, and returns those that it has handed over. They must be
// whole.
func (f *fleet) handOver(g *gateway, orders []string) map[string]bool {
	f.t.Helper()
	var mu sync.Mutex
	handed := make(map[string]bool)
	var calls sync.WaitGroup
	places := make(chan struct{}, back)
	for _, order := range orders {
		if f.bank.count(order) == 0 {
			continue // the bank has the document
		}
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			status, content, err := f.fetch("h1", g, "app", order)
			if status != http.StatusOK {
				return
			}
			if err != nil || !bytes.Equal(content, f.bank.document(order)) {
				f.t.Errorf("%s: the other gateway handed over %d bytes, %v", order, len(content), err)
			}
			mu.Lock()
			defer mu.Unlock()
			handed[order] = true
		})
	}
	calls.Wait()
	return handed
}

// logged tests that the log has the lost orders with times from begun on. It returns how many
// it has only because their calls began without a mark. If a caller does not find an order's
// mark in time, the next look through the storage does.
func (f *fleet) logged(g *gateway, begun time.Time, lost []string) (unmarked int) {
	f.t.Helper()
	victim := f.gateways[0]
	warned := make(map[string]bool)
	for _, e := range victim.lines("download begins without a mark") {
		warned[e.Order] = true
	}
	times := make(map[string]string)
	missing := func() (orders []string) {
		for _, e := range append(g.lines("download lost"), victim.lines("download lost")...) {
			times[e.Order] = e.Begun.String()
		}
		for _, order := range lost {
			switch {
			case times[hash(order)] != "":
			case warned[hash(order)]:
				unmarked++
			default:
				orders = append(orders, order)
			}
		}
		return orders
	}
	for deadline := time.Now().Add(90 * time.Second); len(missing()) > 0 && time.Now().Before(deadline); {
		<-time.After(100 * time.Millisecond)
	}
	unmarked = 0
	if orders := missing(); len(orders) > 0 {
		f.t.Errorf("these downloads are lost, and no log says so: %v", orders)
	}
	for _, order := range lost {
		seconds, ok := times[hash(order)]
		var at float64
		if _, err := fmt.Sscan(seconds, &at); ok && (err != nil || at < float64(begun.Unix()-1) || at > float64(time.Now().Unix()+1)) {
			f.t.Errorf("%s is lost at %s", order, seconds)
		}
	}
	if strings.Contains(fmt.Sprint(times), "order-") {
		f.t.Error("the log shows an order")
	}
	return unmarked
}
