package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// A scenario is a kind of load.
type scenario struct {
	name  string
	shape shape
}

const mebibyte = 1 << 20

// scenarios returns the scenarios whose names match, of all bodies, protocols and numbers
// of connections, with and without TLS towards the upstream.
func scenarios(match *regexp.Regexp) []scenario {
	var matching []scenario
	for _, body := range []struct {
		name     string
		up, down int
	}{
		{"small", 0, 0},
		{"down 1MiB", 0, mebibyte},
		{"up 1MiB", mebibyte, 0},
		{"down 30MiB", 0, 30 * mebibyte},
		{"up 30MiB", 30 * mebibyte, 0},
	} {
		for _, protocol := range []string{"h1", "h2"} {
			for _, connections := range []int{1, 32, 256} {
				for _, security := range []string{"", " tls"} {
					name := fmt.Sprintf("%s %s c%d%s", body.name, protocol, connections, security)
					if match.MatchString(name) {
						matching = append(matching, scenario{name, shape{
							h2: protocol == "h2", tls: security != "", connections: connections, up: body.up, down: body.down,
						}})
					}
				}
			}
		}
	}
	return matching
}

// figures are the measurements of one contender, with a value for each round.
type figures struct {
	rate           []float64 // requests per second
	cpu            []float64 // processor time per request, µs
	p50, p99, p999 []float64 // latencies, ms
	peak           []float64 // memory, MiB
	requests       int
}

// measure runs a client against r for d, and adds the measurements.
func (f *figures) measure(ctx context.Context, r *runner, c *client, d time.Duration) error {
	r.resetPeak()
	before, err := r.cpu()
	if err != nil {
		return err
	}
	latencies, took, err := c.run(ctx, d)
	if err != nil {
		return fmt.Errorf("%s: %v", r.name, err)
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	peak, err := r.peak()
	if err != nil {
		return err
	}
	n := float64(len(latencies))
	f.requests += len(latencies)
	f.rate = append(f.rate, n/took.Seconds())
	f.cpu = append(f.cpu, float64((after-before).Nanoseconds())/1e3/n)
	f.p50 = append(f.p50, milliseconds(percentile(latencies, 0.5)))
	f.p99 = append(f.p99, milliseconds(percentile(latencies, 0.99)))
	f.p999 = append(f.p999, milliseconds(percentile(latencies, 0.999)))
	f.peak = append(f.peak, float64(peak)/mebibyte)
	return nil
}

// milliseconds returns d in milliseconds.
func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// runScenarios measures all scenarios.
func (b *bench) runScenarios(ctx context.Context) error {
	for _, s := range b.scenarios {
		progress("%s", s.name)
		if err := b.runScenario(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// runScenario measures all contenders in each round, one after the other, so that what
// disturbs the machine disturbs a whole round.
func (b *bench) runScenario(ctx context.Context, s scenario) error {
	var runners []*runner
	defer func() {
		for _, r := range runners {
			r.stop()
		}
	}()
	var clients []*client
	for _, contender := range b.contenders {
		r, err := contender.run(ctx, b.setting(s.shape.tls, b.issuer))
		if err != nil {
			return err
		}
		runners = append(runners, r)
		if err := r.check(ctx); err != nil {
			return err
		}
		c := newClient(r, s.shape)
		defer c.close()
		clients = append(clients, c)
		if _, _, err := c.run(ctx, b.slice); err != nil { // warms up
			return fmt.Errorf("%s: %v", r.name, err)
		}
	}
	all := make([]figures, len(runners))
	for range b.rounds {
		for _, i := range turns(runners) {
			if err := all[i].measure(ctx, runners[i], clients[i], b.slice); err != nil {
				return err
			}
		}
	}
	b.report.scenario(s, runners, all)
	return nil
}

// turns returns the order in which runners are measured in a round: a random one, so that
// no runner always follows the same, but with the gateway between the floor and bare. What
// is measured one right after the other can be compared best.
func turns(runners []*runner) []int {
	var compared, others []int
	for _, name := range []string{floorName, bearerName, bareName} {
		if i := slices.IndexFunc(runners, func(r *runner) bool { return r.name == name }); i >= 0 {
			compared = append(compared, i)
		}
	}
	if rand.IntN(2) == 0 { //nolint:gosec // an order
		slices.Reverse(compared)
	}
	for _, i := range rand.Perm(len(runners)) { //nolint:gosec // an order
		if !slices.Contains(compared, i) {
			others = append(others, i)
		}
	}
	return slices.Insert(others, rand.IntN(len(others)+1), compared...) //nolint:gosec // an order
}
