package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// persistent is the handle of a key that stays in the TPM. It implements holder.
type persistent tpm2.TPMHandle

// firstOfPlatform is the first persistent handle that is not for the owner hierarchy.
const firstOfPlatform persistent = 0x81800000

// errVacant is the error if a handle has no key.
var errVacant = errors.New("it has no key with this handle (tpm2_getcap handles-persistent)")

// A persistentKey is the key that a persistent handle has.
type persistentKey struct {
	handle   persistent
	name     tpm2.TPM2BName
	public   tpm2.TPM2BPublic
	contents *tpm2.TPMTPublic // those of public
}

// find looks for the key that has the handle.
func (p persistent) find(tpm transport.TPM) (*persistentKey, error) {
	response, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(p)}.Execute(tpm)
	switch {
	case errors.Is(err, tpm2.TPMRCHandle):
		return nil, fmt.Errorf("0x%x: %w", uint32(p), errVacant)
	case err != nil:
		return nil, fmt.Errorf("reading the key with the handle 0x%x: %w", uint32(p), err)
	}
	contents, err := response.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("reading the key with the handle 0x%x: %w", uint32(p), err)
	}
	return &persistentKey{p, response.Name, response.OutPublic, contents}, nil
}

// read implements holder.
func (p persistent) read(ctx context.Context, d *device) (object, error) {
	found := make(chan *persistentKey, 1) // the call may go on when nobody waits any more
	err := d.do(ctx, func(tpm transport.TPM) error {
		key, err := p.find(tpm)
		if err != nil {
			return err
		}
		found <- key
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// area implements object.
func (k *persistentKey) area() *tpm2.TPMTPublic { return k.contents }

// identity implements object. The authorization value of a persistent key cannot change.
func (k *persistentKey) identity() string { return string(k.name.Buffer) }

// errReplaced is the error if another key has the handle now.
var errReplaced = errors.New("another key has the handle now: give each key a handle of its own")

// load implements object. It makes sure that it is still the same key: with another one,
// the authorization would look like a wrong value.
func (k *persistentKey) load(_ *device, tpm transport.TPM) (loaded, func(), error) {
	now, err := k.handle.find(tpm)
	switch {
	case err != nil:
		return loaded{}, nil, err
	case !bytes.Equal(now.name.Buffer, k.name.Buffer):
		return loaded{}, nil, errReplaced
	}
	return loaded{tpm2.NamedHandle{Handle: tpm2.TPMHandle(k.handle), Name: k.name}, k.public}, func() {}, nil
}

// create implements holder.
func (p persistent) create(ctx context.Context, d *device, template tpm2.TPMTPublic, auth tokenauth.Secret) error {
	if p >= firstOfPlatform {
		return fmt.Errorf("the handle 0x%x is for keys of the firmware: give one from 0x81000000 to 0x%x", uint32(p), uint32(firstOfPlatform-1))
	}
	return d.do(ctx, func(tpm transport.TPM) error {
		switch _, err := p.find(tpm); {
		case err == nil:
			return fmt.Errorf("it has a key with the handle 0x%x already, which may be in use: give another handle", uint32(p))
		case !errors.Is(err, errVacant):
			return err
		}
		made, err := d.create(tpm, template, auth)
		if err != nil {
			return err
		}
		key, done, err := made.load(d, tpm)
		if err != nil {
			return err
		}
		defer done()
		_, err = tpm2.EvictControl{
			Auth:             tpm2.TPMRHOwner,
			ObjectHandle:     key.NamedHandle,
			PersistentHandle: tpm2.TPMHandle(p),
		}.Execute(tpm)
		switch {
		case isRefusal(err):
			return errOwner
		case err != nil:
			return fmt.Errorf("giving the key the handle 0x%x: %w", uint32(p), err)
		}
		return nil
	})
}
