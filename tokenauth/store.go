package tokenauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// A Store is where processes that use the same client leave their tokens for
// each other. It is the part that is used here of the storages of Caddy: keys
// are paths, locks hold between all processes and do not outlive their holder by
// much. It need not be trusted: what is stored is sealed. It must be safe for
// concurrent use.
type Store interface {
	// Lock waits until the lock name is this process's, or ctx ends.
	Lock(ctx context.Context, name string) error

	// Unlock gives the lock name back.
	Unlock(ctx context.Context, name string) error

	// Load returns what is stored at key. If there is nothing, the error is
	// fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)

	// Store puts value in the place of what is stored at key.
	Store(ctx context.Context, key string, value []byte) error
}

const (
	// storeTimeout is how long one read or write may take. What is stored saves
	// a request; it is not worth a long wait.
	storeTimeout = 2 * time.Second

	// storeOperations is how many of one source may be under way. A storage that
	// hangs would gather them otherwise.
	storeOperations = 4

	// storePrefix is what all keys begin with. The number is of the format.
	storePrefix = "tokenauth/v1/"
)

var (
	errStoreSilent = errors.New("the storage does not answer")
	errSealed      = errors.New("the entry was not sealed with this client's credential for this purpose, or has been changed")
)

// A seal protects one entry of a Store. Its key is derived from the client's own
// credential (RFC 5869): whoever can open it could ask for a token anyway, and no
// further secret is needed. Another credential has another entry, so that
// processes with the old one and the new one do not get in each other's way.
type seal struct {
	name string // of the entry, and of its lock
	aead cipher.AEAD
}

// newSeal returns the seal for what belongs to the given credentials, of which
// purpose is a description that nothing else has.
func newSeal(c Credentials, purpose any) (*seal, error) {
	material := []byte(c.ClientSecret.Reveal())
	if c.Key != nil {
		var err error
		if material, err = c.Key.pkcs8(); err != nil {
			return nil, err
		}
	}
	if len(material) == 0 {
		return nil, errors.New("the client has no credential to derive a key from")
	}
	info, err := json.Marshal(purpose)
	if err != nil {
		return nil, err
	}
	name, err := hkdf.Key(sha256.New, material, nil, storePrefix+"name"+string(info), 16)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, material, nil, storePrefix+"key"+string(info), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &seal{name: storePrefix + hex.EncodeToString(name), aead: aead}, nil
}

// save seals value and stores it.
func (s *seal) save(ctx context.Context, store Store, value []byte) error {
	return store.Store(ctx, s.name, s.aead.Seal(nil, nil, value, []byte(s.name))) //nolint:gosec // it makes its own nonce
}

// load returns what save has stored. An entry that it has not is errSealed.
func (s *seal) load(ctx context.Context, store Store) ([]byte, error) {
	sealed, err := store.Load(ctx, s.name)
	if err != nil {
		return nil, err
	}
	value, err := s.aead.Open(nil, nil, sealed, []byte(s.name))
	if err != nil {
		return nil, errSealed
	}
	return value, nil
}

// use runs one operation of a store, and returns when it or its time is over:
// file systems that have gone away do not heed a context.
func (s *Source) use(ctx context.Context, operation func(context.Context) error) error {
	select {
	case err := <-s.begin(ctx, operation):
		return err
	case <-ctx.Done():
		return errStoreSilent
	}
}

// begin starts an operation of a store, whose result can be received once.
func (s *Source) begin(ctx context.Context, operation func(context.Context) error) <-chan error {
	result := make(chan error, 1)
	select {
	case s.operations <- struct{}{}:
	default:
		result <- errStoreSilent
		return result
	}
	// Not among those that Close waits for: it ends when the store lets it.
	go func() {
		err := errors.New("the storage panicked")
		defer func() {
			_ = recover() // or it ends the process
			<-s.operations
			result <- err
		}()
		err = operation(ctx)
	}()
	return result
}
