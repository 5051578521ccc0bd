package caddyesign

import (
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2"
)

// Handlers are subscribed only after all apps have started.
func TestEventsWaitForTheStart(t *testing.T) {
	ctx, err := caddy.ProvisionContext(new(caddy.Config))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		e, err := newEmitter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		handled := 0
		if err := e.app.On("test", startedHandler{func() { handled++ }}); err != nil {
			t.Fatal(err)
		}
		go e.emit("test", nil)
		synctest.Wait()
		if handled != 0 {
			t.Error("an event was emitted before the start")
		}
		e.app.Emit(ctx, "started", nil)
		synctest.Wait()
		if handled != 1 {
			t.Errorf("%d events after the start, want 1", handled)
		}
		e.stop()
		e.emit("test", nil)
		if handled != 1 {
			t.Error("an event was emitted after the end")
		}
	})
}
