package tpm

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// overloadPause is how long after the last outage it is logged again that a signature was
// not made in time. If a TPM has more callers than it can serve, some get a signature and
// others do not, all the time.
const overloadPause = time.Minute

// outages logs when a key begins not to sign, and when it signs again: a call that needs a
// signature does not say why there is none. The zero value is ready.
type outages struct {
	mu    sync.Mutex
	byKey map[string]outage // by where the key is
}

// An outage is the time in which a key does not sign.
type outage struct {
	began time.Time // of this one, or of the last one
	lasts bool
}

// note is called with the result of each signature. key says where the key is, and ctx is
// the context of the caller.
func (o *outages) note(ctx context.Context, key string, err error) {
	if errors.Is(ctx.Err(), context.Canceled) { // the caller has left
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.byKey[key]
	switch {
	case err != nil && !last.lasts:
		if ctx.Err() != nil && time.Since(last.began) < overloadPause {
			return
		}
		if o.byKey == nil {
			o.byKey = make(map[string]outage)
		}
		o.byKey[key] = outage{time.Now(), true}
		logger().Error("a key in a TPM does not sign", zap.String("key", key), zap.Error(err))
	case err == nil && last.lasts:
		o.byKey[key] = outage{began: last.began}
		logger().Info("a key in a TPM signs again", zap.String("key", key))
	}
}

// logger returns the logger of the configuration that runs, which may be another one than
// that in which the TPM was first used.
func logger() *zap.Logger { return caddy.Log().Named(moduleID) }
