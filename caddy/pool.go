package caddyesign

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// pool holds what outlives a configuration: tokens, what is known of providers,
// answers that are held for their callers, and the state of the sandbox. Its keys are
// made of everything that decides what the value is, so that a changed configuration
// gets a new one while the old one goes on for as long as it is used.
var pool = caddy.NewUsagePool()

// The keys of the pool.
type (
	providerKey [sha256.Size]byte
	sourceKey   [sha256.Size]byte
	budgetKey   struct{}
	heldKey     struct{}
	sandboxKey  struct{}
)

// digest returns a hash of v, so that a key holds nothing that should not be
// seen in it.
func digest(v any) ([sha256.Size]byte, error) {
	enc, err := json.Marshal(v)
	return sha256.Sum256(enc), err
}

// pooledSource ends a source when its last user has gone.
type pooledSource struct{ *tokenauth.Source }

// Destruct implements caddy.Destructor.
func (s pooledSource) Destruct() error {
	s.Close()
	return nil
}

// references are the references to the pool that one app has taken. Nobody
// else gives them back.
type references []any

// use returns the value at key, made by construct if there is none, and
// remembers the reference. construct must not do I/O: the pool is locked.
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

// destructible makes any value one that the pool takes.
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
