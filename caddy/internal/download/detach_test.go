package download

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A detached request continues for some time after its client has left, then ends.
func TestDetachedRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		left := false
		client, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		ctx, detached := Detach(client, func() { left = true })
		defer detached.End()
		if ctx.Value(key{}) != "value" || detached.Left() != nil {
			t.Error("the context is not the client's")
		}
		leave()
		time.Sleep(detachedFor - time.Second)
		synctest.Wait()
		if ctx.Err() != nil || !left || !errors.Is(detached.Left(), context.Canceled) {
			t.Errorf("before its time: %v, %v", ctx.Err(), detached.Left())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("it goes on for ever")
		}
	})
}

// An attached request ends with its client.
func TestAttachedRequestEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := false
		client, leave := context.WithCancel(t.Context())
		ctx, detached := Detach(client, func() { left = true })
		defer detached.End()
		detached.Attach()
		leave()
		synctest.Wait()
		if ctx.Err() == nil || left {
			t.Error("it goes on without its client")
		}
	})
}
