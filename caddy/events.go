package caddyesign

import (
	"context"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// These are the names of the app's events. The documentation of App describes them.
//
//nolint:gosec // names, not tokens
const (
	eventTokenObtained    = "bankid_esign_token_obtained"
	eventTokenFailed      = "bankid_esign_token_failed"
	eventTokenUnavailable = "bankid_esign_token_unavailable"
)

// emitter emits the events of one configuration.
type emitter struct {
	ctx     caddy.Context
	stop    context.CancelFunc // ends ctx
	app     *caddyevents.App
	started chan struct{} // closed when all apps have started
}

// newEmitter returns the emitter of the configuration of ctx.
func newEmitter(ctx caddy.Context) (*emitter, error) {
	mod, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("getting events app: %v", err)
	}
	e := &emitter{ctx: ctx, app: mod.(*caddyevents.App), started: make(chan struct{})}
	// The app may be cleaned up before its configuration is. Cleaning up waits until
	// all events are emitted, so the app must be able to end that.
	e.ctx.Context, e.stop = context.WithCancel(ctx.Context)
	return e, e.app.On("started", startedHandler{sync.OnceFunc(func() { close(e.started) })})
}

// startedHandler handles the event that all apps have started. It has no fields that
// Caddy could log.
type startedHandler struct{ do func() }

// Handle implements caddyevents.Handler.
func (h startedHandler) Handle(context.Context, caddy.Event) error {
	h.do()
	return nil
}

// emit emits an event. Apps start in no particular order, and the events app accepts no
// event before it has its subscribers. So emit waits until all apps have started.
func (e *emitter) emit(name string, data map[string]any) {
	select {
	case <-e.started:
	case <-e.ctx.Done():
	}
	if e.ctx.Err() == nil {
		e.app.Emit(e.ctx, name, data)
	}
}

// Interface guards
var _ caddyevents.Handler = startedHandler{}
