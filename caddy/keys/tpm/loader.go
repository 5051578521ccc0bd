package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A loader loads a key into the TPM, which takes it out again after each use: a TPM
// without a resource manager has room for three keys. A loader keeps the context that the
// TPM gives it, which is the key for this TPM only, until its next start. To load that takes
// much less time than to load the key under its parent.
type loader struct {
	context *tpm2.TPMSContext
	key     loaded // with the handle that it had the first time
}

// A loaded key is a key that is in the TPM.
type loaded struct {
	tpm2.NamedHandle
	public tpm2.TPM2BPublic
}

// load loads the key, by first if the TPM does not take the context. Who calls it must
// call unload.
func (l *loader) load(tpm transport.TPM, first func() (loaded, error)) (loaded, error) {
	if l.context != nil {
		response, err := tpm2.ContextLoad{Context: *l.context}.Execute(tpm)
		if err == nil {
			key := l.key
			key.Handle = response.LoadedHandle
			return key, nil
		}
		if _, ok := errors.AsType[tpm2.TPMRC](err); !ok {
			return loaded{}, err
		}
		l.context = nil // it is from before the TPM's last start, or from another TPM
	}
	key, err := first()
	if err != nil {
		return loaded{}, err
	}
	saved, err := tpm2.ContextSave{SaveHandle: key.Handle}.Execute(tpm)
	if err != nil {
		unload(tpm, key.Handle)
		return loaded{}, fmt.Errorf("saving the context of a key: %w", err)
	}
	l.context, l.key = &saved.Context, key
	return key, nil
}

// unload takes a key out of the TPM.
func unload(tpm transport.TPM, key tpm2.TPMHandle) {
	// If that fails, the connection is lost, or the TPM was started again. Either way,
	// the key is gone, or nothing more can be done.
	_, _ = tpm2.FlushContext{FlushHandle: key}.Execute(tpm)
}

// A primary is a key that the TPM makes again from its seed and a template, always the
// same one.
type primary struct {
	hierarchy tpm2.TPMHandle
	rsa       bool
}

// template returns the template of the primary: that which draft-bottomley-tpm2-keys
// prescribes for a parent that is a hierarchy (H-2 of the TCG's EK Credential Profile, or
// H-1 for RSA). Its unique fields are empty. Those of go-tpm's SRK templates have zeros, and
// give another key.
func (p primary) template() tpm2.TPMTPublic {
	if p.rsa {
		template := tpm2.RSASRKTemplate
		template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
		return template
	}
	template := tpm2.ECCSRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return template
}

// errOwner is the error if the owner hierarchy has a password.
var errOwner = errors.New("its owner hierarchy has a password, which the gateway does not know: use a key that other programs have made, such as tpm2_create under a parent with a persistent handle (0x81000001), or one with a handle")

// primary loads a primary key. Who calls it must call unload.
func (d *device) primary(tpm transport.TPM, p primary) (loaded, error) {
	l := d.primaries[p]
	if l == nil {
		l = new(loader)
		d.primaries[p] = l
	}
	return l.load(tpm, func() (loaded, error) {
		made, err := tpm2.CreatePrimary{PrimaryHandle: p.hierarchy, InPublic: tpm2.New2B(p.template())}.Execute(tpm)
		switch {
		case isRefusal(err):
			return loaded{}, errOwner
		case err != nil:
			return loaded{}, fmt.Errorf("making the primary key: %w", err)
		}
		return loaded{tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, made.OutPublic}, nil
	})
}
