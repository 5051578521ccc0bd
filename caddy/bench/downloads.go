package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// A transfer is a scenario with downloads of signed documents: DELETE of an order, whose
// response the gateway keeps.
type transfer struct {
	name     string
	size     int // of the document, in bytes
	upstream int // the speed of the upstream, in bytes a second; 0 is full speed
	caller   int // the speed of the caller
	rounds   int // at most
}

// transfers returns the scenarios with downloads whose names match. A paced download takes
// seconds, so there are few rounds of those.
func transfers(match *regexp.Regexp, size int) []transfer {
	var matching []transfer
	for _, t := range []transfer{
		{"full speed", size, 0, 0, 100},
		{"upstream at 10 MiB/s, caller fast", size, 10 * mebibyte, 0, 7},
		{"upstream at 10 MiB/s, caller at 10 MiB/s", size, 10 * mebibyte, 10 * mebibyte, 7},
		{"upstream at 10 MiB/s, caller at 2 MiB/s", size, 10 * mebibyte, 2 * mebibyte, 3},
	} {
		t.name = fmt.Sprintf("download %d MiB, %s", size/mebibyte, t.name)
		if match.MatchString(t.name) {
			matching = append(matching, t)
		}
	}
	return matching
}

// keepers returns the contenders that download: the floor, which keeps nothing, and each
// way to keep downloads.
func keepers() []contender { return []contender{floor, bearer("")} }

// transferFigures are the measurements of one contender, with a value for each round, in ms.
type transferFigures struct {
	first []float64 // until the first byte of the document came
	whole []float64 // until the last
	cpu   []float64 // processor time of a download
}

// A pacer reads not faster than speed bytes a second. If speed is 0, it reads what is there.
type pacer struct {
	io.Reader
	ctx   context.Context //nolint:containedctx // of one transfer
	start time.Time
	speed int
	n     int // that have been read
}

// Read implements io.Reader.
func (p *pacer) Read(b []byte) (int, error) {
	pace(p.ctx, p.start, p.n, p.speed)
	n, err := p.Reader.Read(b)
	p.n += n
	return n, err
}

// download downloads the order of id, and returns the time to the first byte and to the
// last.
func (t transfer) download(ctx context.Context, transport http.RoundTripper, r *runner, id int) (first, whole time.Duration, err error) {
	query := url.Values{"sign_id": {strconv.Itoa(id)}, "bytes": {strconv.Itoa(t.size)}, "speed": {strconv.Itoa(t.upstream)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+r.h1+path+"?"+query.Encode(), nil)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	body := &pacer{Reader: res.Body, ctx: ctx, start: time.Now(), speed: t.caller}
	one, err := io.CopyN(io.Discard, body, 1)
	first = time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	rest, err := io.Copy(io.Discard, body)
	if err == nil && (res.StatusCode != http.StatusOK || one+rest != int64(t.size)) {
		err = fmt.Errorf("the response is %d with %d bytes", res.StatusCode, one+rest)
	}
	return first, time.Since(start), err
}

// measure downloads as long as d, once at least, and adds the measurements. The ids of the
// orders begin with *id.
func (f *transferFigures) measure(ctx context.Context, t transfer, transport http.RoundTripper, r *runner, id *int, d time.Duration) error {
	before, err := r.cpu()
	if err != nil {
		return err
	}
	var first, whole time.Duration
	n := 0
	for start := time.Now(); n == 0 || time.Since(start) < d; n++ {
		*id++
		f, w, err := t.download(ctx, transport, r, *id)
		if err != nil {
			return fmt.Errorf("%s: %v", r.name, err)
		}
		first, whole = first+f, whole+w
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	f.first = append(f.first, milliseconds(first)/float64(n))
	f.whole = append(f.whole, milliseconds(whole)/float64(n))
	f.cpu = append(f.cpu, milliseconds(after-before)/float64(n))
	return nil
}

// runDownloads measures all downloads.
func (b *bench) runDownloads(ctx context.Context) error {
	for _, t := range b.transfers {
		progress("%s", t.name)
		if err := b.runTransfer(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// runTransfer measures all contenders in each round: at full speed one after the other,
// otherwise at the same time, since a paced download leaves the machine idle.
func (b *bench) runTransfer(ctx context.Context, t transfer) error {
	contenders := keepers()
	runners := make([]*runner, len(contenders))
	transports := make([]*http.Transport, len(contenders))
	ids := make([]int, len(contenders))
	for i, c := range contenders {
		r, err := c.run(ctx, b.setting(false, b.issuer))
		if err != nil {
			return err
		}
		defer r.stop()
		transports[i] = &http.Transport{DisableCompression: true, ReadBufferSize: 64 << 10}
		defer transports[i].CloseIdleConnections()
		if err := r.check(ctx); err != nil {
			return err
		}
		if err := b.checkKept(ctx, r, transports[i]); err != nil {
			return err
		}
		runners[i] = r
	}
	all := make([]transferFigures, len(contenders))
	for range min(b.rounds, t.rounds) {
		var wg sync.WaitGroup
		errs := make([]error, len(contenders))
		for _, i := range turns(runners) {
			wg.Go(func() { errs[i] = all[i].measure(ctx, t, transports[i], runners[i], &ids[i], b.slice) })
			if t.upstream == 0 {
				wg.Wait()
			}
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	b.report.transfer(t, contenders, all)
	return nil
}

// checkKept downloads an order twice, and checks that the upstream sees both requests of the
// floor, and one of a contender that keeps the document.
func (b *bench) checkKept(ctx context.Context, r *runner, transport http.RoundTripper) error {
	before := b.upstream.documents.Load()
	const order = 1 << 30 // is not measured
	for range 2 {
		if _, _, err := (transfer{size: mebibyte}).download(ctx, transport, r, order); err != nil {
			return fmt.Errorf("%s: %v", r.name, err)
		}
	}
	want := int64(1)
	if r.name == floorName {
		want = 2
	}
	if n := b.upstream.documents.Load() - before; n != want {
		return fmt.Errorf("%s: of two downloads of an order, the upstream sees %d, want %d", r.name, n, want)
	}
	return nil
}

// transfer adds the results of downloads. The first contender is the floor.
func (r *report) transfer(t transfer, contenders []contender, all []transferFigures) {
	r.section(t.name)
	fmt.Fprintf(&r.body, "`DELETE %s` over HTTP/1.1, one at a time, %d rounds.\n\n", path, len(all[0].whole))
	r.table("", "first byte ms", "ratio", "whole ms", "ratio", "CPU ms/download", "ratio")
	for i, c := range contenders {
		f, base := all[i], all[0]
		first, whole, cpu := newSpread(ratios(f.first, base.first)), newSpread(ratios(f.whole, base.whole)), newSpread(ratios(f.cpu, base.cpu))
		r.row(c.name, newSpread(f.first).with(2), first.with(2), newSpread(f.whole).with(1), whole.with(3), newSpread(f.cpu).with(1), cpu.with(3))
		if i == 0 {
			continue
		}
		over := make([]float64, len(f.first))
		for round := range over {
			over[round] = f.first[round] - 1.1*base.first[round]
		}
		r.atMost(t.name+": first byte of the "+c.name+", over 1.1 times the floor's, ms", newSpread(over), 5)
		r.atMost(t.name+": whole time of the "+c.name+", to the floor's", whole, 1.03)
		r.atMost(t.name+": processor time of the "+c.name+", to the floor's", cpu, 1.15)
	}
}
