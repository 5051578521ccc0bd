package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// renewalEvery is how often tokens are renewed in the renewal scenario.
const renewalEvery = 2 * time.Second

// renewalRate is the number of calls a second at a fixed rate. All contenders can serve
// far more, so that calls do not queue.
const renewalRate = 1600

// renewalSlice is long enough for two renewals.
const renewalSlice = 2 * renewalEvery

// runRenewal measures how renewals affect callers.
func (b *bench) runRenewal(ctx context.Context) error {
	const delay = 20 * time.Millisecond // of the issuer's responses
	// The gateway stops using a token a tenth of its life before it expires, and is
	// configured to renew it 0.7 s before that. x/oauth2 renews it 10 s before.
	short, shortForOAuth2 := newIssuer(3*time.Second, delay, false), newIssuer(10*time.Second+renewalEvery, delay, false)
	defer short.Close()
	defer shortForOAuth2.Close()
	renewing := bearer("refresh_before 700ms")
	renewing.name += ", renewing"
	steady, goRenewing := bearer(""), goProxy
	goRenewing.name += ", renewing"
	var runners []*runner
	defer func() {
		for _, r := range runners {
			r.stop()
		}
	}()
	for _, c := range []struct {
		contender
		issuer *issuer
	}{{steady, b.issuer}, {renewing, short}, {goRenewing, shortForOAuth2}} {
		r, err := c.run(ctx, b.setting(false, c.issuer))
		if err != nil {
			return err
		}
		runners = append(runners, r)
		if err := r.check(ctx); err != nil {
			return err
		}
	}
	const connections = 32
	for _, load := range []struct {
		name  string
		every time.Duration
	}{
		{"at full load", 0},
		{fmt.Sprintf("at %d calls a second", renewalRate), time.Second * connections / renewalRate},
	} {
		all, err := b.renewals(ctx, runners, shape{connections: connections, every: load.every})
		if err != nil {
			return err
		}
		b.report.renewal(load.name, runners, all)
	}
	return nil
}

// renewals measures the runners, in turns.
func (b *bench) renewals(ctx context.Context, runners []*runner, s shape) ([]figures, error) {
	clients := make([]*client, len(runners))
	for i, r := range runners {
		clients[i] = newClient(r, s)
		defer clients[i].close()
	}
	all := make([]figures, len(runners))
	slice := min(renewalSlice, 10*b.slice)
	for range b.rounds {
		for _, i := range rand.Perm(len(runners)) { //nolint:gosec // an order
			// The token expired while others were measured.
			if _, _, err := clients[i].run(ctx, b.slice/4); err != nil {
				return nil, err
			}
			if err := all[i].measure(ctx, runners[i], clients[i], slice); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// coldCallers is the number of callers that call at once while there is no token.
const coldCallers = 256

// stampede is the results of cold callers.
type stampede struct {
	requests []float64 // token requests
	served   []float64 // callers that got a response of the upstream
	first    []float64 // until the first response, ms
	last     []float64 // until the last was
}

// runStampedes measures gateways that have callers and no token yet.
func (b *bench) runStampedes(ctx context.Context) error {
	for _, kind := range []struct {
		name  string
		delay time.Duration
		fails bool
	}{
		{"the issuer takes 500 ms", 500 * time.Millisecond, false},
		{"the issuer responds with 503, after 20 ms", 20 * time.Millisecond, true},
	} {
		contenders := []contender{bearer(""), goProxy, floor}
		all := make([]stampede, len(contenders))
		for range max(b.rounds/5, 1) {
			for i, c := range contenders {
				if err := b.stampede(ctx, c, newIssuer(time.Hour, kind.delay, kind.fails), &all[i]); err != nil {
					return err
				}
			}
		}
		b.report.stampede(kind.name, contenders, all)
	}
	return nil
}

// stampede starts a contender, and calls it as soon as it listens.
func (b *bench) stampede(ctx context.Context, c contender, i *issuer, result *stampede) error {
	defer i.Close()
	r, err := c.run(ctx, b.setting(false, i))
	if err != nil {
		return err
	}
	defer r.stop()
	client := newClient(r, shape{connections: coldCallers})
	defer client.close()
	responded := make([]time.Duration, coldCallers)
	served := make([]bool, coldCallers)
	errs := make(chan error, coldCallers)
	var wg sync.WaitGroup
	start := time.Now()
	for n, transport := range client.transports {
		wg.Go(func() {
			_, status, err := get(ctx, transport, client.url)
			if err != nil {
				errs <- fmt.Errorf("%s: %v", c.name, err)
			}
			responded[n], served[n] = time.Since(start), status == 200
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	n, first, last := 0, responded[0], responded[0]
	for k := range responded {
		if served[k] {
			n++
		}
		first, last = min(first, responded[k]), max(last, responded[k])
	}
	result.requests = append(result.requests, float64(i.requests.Load()))
	result.served = append(result.served, float64(n))
	result.first = append(result.first, milliseconds(first))
	result.last = append(result.last, milliseconds(last))
	return nil
}
