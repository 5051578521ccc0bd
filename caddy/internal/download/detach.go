package download

import (
	"context"
	"time"
)

// detachedFor is how long a request continues after its client has left: the default
// limit of the gateway for the header of a response, and some time for its body.
const detachedFor = 5 * time.Minute

// A Detached request does not end when its client leaves.
type Detached struct {
	client context.Context
	cancel context.CancelFunc
	stop   func() bool // stops waiting for the client to leave
}

// Detach returns a context for a request that does not end when the context of its
// client does, but at most 5 minutes after that. left is called when the client leaves.
// End must be called when the request has ended.
func Detach(client context.Context, left func()) (context.Context, *Detached) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	d := &Detached{client: client, cancel: cancel}
	d.stop = context.AfterFunc(client, func() {
		left()
		limit := time.NewTimer(detachedFor)
		defer limit.Stop()
		select {
		case <-limit.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, d
}

// Attach makes the request end with its client after all.
func (d *Detached) Attach() {
	d.stop()
	context.AfterFunc(d.client, d.cancel)
}

// End ends the request.
func (d *Detached) End() {
	d.stop()
	d.cancel()
}

// Left returns why the client has left, or nil if it has not.
func (d *Detached) Left() error { return d.client.Err() }
