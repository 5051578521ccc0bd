package caddyesign

import (
	"context"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// sharedStorage makes a tokenauth.Store of Caddy's storage.
type sharedStorage struct{ certmagic.Storage }

// Size implements tokenauth.Store.
func (s sharedStorage) Size(ctx context.Context, key string) (int64, error) {
	info, err := s.Stat(ctx, key)
	return info.Size, err
}

// observeStore counts failures of the storage in which tokens are shared. It logs one
// line when this server begins to obtain its own tokens, and one when it shares them
// again.
func (o *sourceObserver) observeStore(e tokenauth.StoreEvent) {
	logger := o.logger.With(zap.String("scope", e.Scopes))
	switch {
	case e.Err == nil:
		logger.Info("tokens are shared again")
	case e.Changed:
		logger.Warn("tokens are not shared: this server obtains its own",
			zap.String("kind", string(e.Err.Kind)), zap.Error(e.Err))
	default:
		storageFailures.WithLabelValues(o.client, string(e.Err.Kind)).Inc()
		level := zapcore.DebugLevel
		if e.Err.Kind == tokenauth.StoreChanged || e.Err.Kind == tokenauth.StoreTooLarge {
			level = zapcore.WarnLevel // somebody may have written to the storage
		}
		logger.Log(level, "the storage for tokens fails", zap.String("kind", string(e.Err.Kind)), zap.Error(e.Err))
	}
}

// Interface guard
var _ tokenauth.Store = sharedStorage{}
