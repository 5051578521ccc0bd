package tpm

import (
	"context"
	"path/filepath"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/caddyserver/caddy/v2"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// pool holds the devices.
var pool = caddy.NewUsagePool()

// deviceKey is the type of the keys of the pool.
type deviceKey struct{ address string }

// A device is a TPM. It is connected only while it is used: some can have a single
// connection, and then other programs could not use it. It carries out one command at a
// time, so one caller uses it at a time. It stays as long as this process runs, since it
// knows which authorization values were refused.
type device struct {
	address string
	open    func(ctx context.Context, address string) (*connection, error)
	queue   *tokenauth.Queue
	outages caddyesign.KeyOutages

	// These are for the caller whose turn it is.
	guards    map[string]*guard // by the identity of the key
	primaries map[primary]*loader
}

// newDevice returns the TPM at an address.
func newDevice(address string) *device {
	return &device{
		address: address, open: open, queue: tokenauth.NewQueue(1),
		guards: make(map[string]*guard), primaries: make(map[primary]*loader),
	}
}

// deviceAt returns the TPM at an address, the same one as long as this process runs, and by
// whatever link.
func deviceAt(address string) (*device, error) {
	key := deviceKey{address}
	if path, err := filepath.EvalSymlinks(address); err == nil { // else open says what is wrong
		key.address = path
	}
	val, loaded, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return newDevice(address), nil })
	if err != nil {
		return nil, err
	}
	if loaded {
		_, err = pool.Delete(key) // the first reference is the one that is kept
	}
	return val.(*device), err
}

// Destruct implements caddy.Destructor.
func (*device) Destruct() error { return nil }

// do calls f with a connection, when it is its turn. If ctx ends before, f may go on; so
// it must not write to variables that the caller uses after that.
func (d *device) do(ctx context.Context, f func(transport.TPM) error) error {
	return d.queue.Do(ctx, func() error {
		c, err := d.open(ctx, d.address)
		if err != nil {
			return err
		}
		defer c.Close()
		return explained(f(c))
	})
}

// guard returns the guard of the key with the given identity. Only the caller whose turn it
// is calls it.
func (d *device) guard(identity string) *guard {
	g := d.guards[identity]
	if g == nil {
		g = new(guard)
		d.guards[identity] = g
	}
	return g
}
