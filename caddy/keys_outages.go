package caddyesign

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// overloadPause is how long after the last outage it is logged again that a signature was
// not made in time. If hardware has more callers than it can serve, some get a signature and
// others do not, all the time.
const overloadPause = time.Minute

// KeyOutages logs when a key of a KeyHolder begins not to sign, and when it signs again: a
// call that needs a signature does not say why there is none. It must outlive the
// modules, as what signs does. The zero value is ready, and safe for concurrent use.
type KeyOutages struct {
	mu    sync.Mutex
	byKey map[string]keyOutage // by where the key is
}

// A keyOutage is the time in which a key does not sign.
type keyOutage struct {
	began time.Time // of this one, or of the last one
	lasts bool
}

// Note is called with the result of each signature. key says where the key is, as String of
// the KeyHolder, and ctx is the context of the caller.
func (o *KeyOutages) Note(ctx context.Context, key string, err error) {
	if errors.Is(ctx.Err(), context.Canceled) { // the caller has left
		return
	}
	switch {
	case !o.changes(ctx, key, err):
	case err != nil:
		keyLogger().Error("a key does not sign", zap.String("key", key), zap.Error(err))
	default:
		keyLogger().Info("a key signs again", zap.String("key", key))
	}
}

// changes notes the result of a signature, and reports whether it is to be logged. The log may
// take long, so it is written when this has returned.
func (o *KeyOutages) changes(ctx context.Context, key string, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.byKey[key]
	if (err != nil) == last.lasts || err != nil && ctx.Err() != nil && time.Since(last.began) < overloadPause {
		return false
	}
	if o.byKey == nil {
		o.byKey = make(map[string]keyOutage)
	}
	if err != nil {
		last.began = time.Now()
	}
	o.byKey[key] = keyOutage{last.began, err != nil}
	return true
}

// keyLogger returns the logger of the configuration that runs, which may be another one than
// that in which a key was first used.
func keyLogger() *zap.Logger { return caddy.Log().Named(keysNamespace) }
