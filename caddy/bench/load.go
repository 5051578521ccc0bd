package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A shape describes calls.
type shape struct {
	h2          bool // cleartext HTTP/2, else HTTP/1.1
	tls         bool // between the contender and the upstream
	connections int  // each with one call at a time
	up, down    int  // sizes of large bodies, in bytes
	// every is the time between the calls of a connection. If a response comes late,
	// the delay counts for the next call. If every is 0, a connection makes the next
	// call when it has the response.
	every time.Duration
}

// A client makes calls over persistent connections.
type client struct {
	shape      shape
	url        string
	transports []*http.Transport // with one connection each
}

// newClient returns a client for r.
func newClient(r *runner, s shape) *client {
	c := &client{shape: s, url: "http://" + r.h1 + path}
	var protocols http.Protocols
	protocols.SetHTTP1(!s.h2)
	protocols.SetUnencryptedHTTP2(s.h2)
	if s.h2 {
		c.url = "http://" + r.h2 + path
	}
	if s.down > 0 {
		c.url += "?bytes=" + strconv.Itoa(s.down)
	}
	for range s.connections {
		c.transports = append(c.transports, &http.Transport{
			Protocols: &protocols, DisableCompression: true, MaxConnsPerHost: 1,
			WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		})
	}
	return c
}

// close closes the connections.
func (c *client) close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// run makes calls for d, waits for the last responses, and returns the time of each call,
// sorted, and the time of all. If a call fails, it returns an error.
func (c *client) run(ctx context.Context, d time.Duration) (latencies []time.Duration, took time.Duration, err error) {
	each := make([][]time.Duration, len(c.transports))
	errs := make([]error, len(c.transports))
	var wg sync.WaitGroup
	start := time.Now()
	for i, transport := range c.transports {
		wg.Go(func() {
			// The connections do not start at the same moment.
			for due := start.Add(c.shape.every * time.Duration(i) / time.Duration(len(c.transports))); due.Sub(start) < d; {
				time.Sleep(time.Until(due)) // it is the clock that sets the pace
				if errs[i] = c.call(ctx, transport); errs[i] != nil {
					return
				}
				now := time.Now()
				each[i] = append(each[i], now.Sub(due))
				if due = due.Add(c.shape.every); c.shape.every == 0 {
					due = now
				}
			}
		})
	}
	wg.Wait()
	took = time.Since(start)
	latencies = slices.Concat(each...)
	slices.Sort(latencies)
	return latencies, took, errors.Join(errs...)
}

// call makes one call.
func (c *client) call(ctx context.Context, transport *http.Transport) error {
	method, body := http.MethodGet, io.Reader(nil)
	if c.shape.up > 0 {
		method, body = http.MethodPost, &zeros{c.shape.up}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url, body)
	if err != nil {
		return err
	}
	req.ContentLength = int64(c.shape.up)
	req.Header["Accept"] = []string{"application/json"}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || (c.shape.down > 0 && n != int64(c.shape.down))) {
		err = fmt.Errorf("the response of %s is %d with %d bytes", c.url, res.StatusCode, n)
	}
	return err
}

// zeros is a body with rest bytes left.
type zeros struct{ rest int }

// Read implements io.Reader.
func (z *zeros) Read(p []byte) (int, error) {
	if z.rest == 0 {
		return 0, io.EOF
	}
	n := copy(p, block[:min(z.rest, len(block))])
	z.rest -= n
	return n, nil
}

// get makes one request and returns the response.
func get(ctx context.Context, transport http.RoundTripper, url string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return body, res.StatusCode, err
}
