package caddyesign

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// pool holds what outlives a configuration: tokens, the configuration of providers,
// downloads, and the state of the sandbox. A key contains everything that decides the
// value. So a changed configuration gets a new value, while the old value stays for as
// long as it is used.
var pool = caddy.NewUsagePool()

// These are the types of the keys of the pool.
type (
	providerKey  [sha256.Size]byte
	sourceKey    [sha256.Size]byte
	budgetKey    struct{}
	downloadsKey struct{}
	drainersKey  struct{}
	sandboxKey   struct{}
)

// digest returns a hash of v, so that no key shows a secret.
func digest(v any) ([sha256.Size]byte, error) {
	enc, err := json.Marshal(v)
	return sha256.Sum256(enc), err
}

// pooledSource closes a source when its last user has gone.
type pooledSource struct{ *tokenauth.Source }

// Destruct implements caddy.Destructor.
func (s pooledSource) Destruct() error {
	s.Close()
	return nil
}

// references are the references to the pool that one app has taken. Only that app gives
// them back.
type references []any

// use returns the value at key, and remembers the reference. If there is no value,
// construct makes it. construct must not do I/O, since the pool is locked meanwhile.
func use[T any](refs *references, key any, construct func() (T, error)) (T, error) {
	val, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		v, err := construct()
		if err != nil {
			return nil, err
		}
		return destructible[T]{v}, nil
	})
	if err != nil {
		var zero T
		return zero, err
	}
	*refs = append(*refs, key)
	return val.(destructible[T]).value, nil
}

// destructible makes a value of any type acceptable to the pool.
type destructible[T any] struct{ value T }

// Destruct implements caddy.Destructor.
func (d destructible[T]) Destruct() error {
	if destructor, ok := any(d.value).(caddy.Destructor); ok {
		return destructor.Destruct()
	}
	return nil
}

// release gives all references back.
func (refs *references) release() error {
	var firstErr error
	for _, key := range *refs {
		if _, err := pool.Delete(key); err != nil && firstErr == nil {
			firstErr = err
		}
	}
	*refs = nil
	return firstErr
}
