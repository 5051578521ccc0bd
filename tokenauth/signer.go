package tokenauth

import (
	"context"
	"crypto"
	"errors"
	"time"
)

// A Signer signs with a private key that is not in this process, such as one in an HSM
// or a TPM. NewKey makes a Key of it; Queue.Signer makes one of a crypto.Signer. It must
// be safe for concurrent use.
type Signer interface {
	// Public returns the public key, always the same: an *ecdsa.PublicKey, an
	// *rsa.PublicKey or an ed25519.PublicKey.
	Public() crypto.PublicKey

	// Sign signs digest as crypto.Signer does: the signature of an EC key is in ASN.1,
	// and *rsa.PSSOptions ask for RSASSA-PSS. It returns when ctx ends, even if the
	// signature is not made yet; that is after 30 seconds at the latest. ctx has no values.
	// Its error becomes part of a KeyError and must not hold a secret.
	Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// A KeyError says why the Signer of a Key has not signed. It does not wrap Err, which may
// be the error of another context than that of a caller that waits for a token.
type KeyError struct {
	// Err is the error of the Signer, or says that the time was over.
	Err error

	timeout bool
}

// Error implements error.
func (e *KeyError) Error() string { return "the key has not signed: " + e.Err.Error() }

// Timeout reports whether the time was over.
func (e *KeyError) Timeout() bool { return e.timeout }

// errNotInTime is the error of a Signer that takes longer than there is time. The error
// of the context is not used: a caller that waits for a token has another context.
var errNotInTime = errors.New("what holds it does not respond in time")

// signWait is how long a Signer may take. A call may have no deadline of its own.
const signWait = 30 * time.Second

// signOutside signs with the Signer of k. The error is a KeyError.
func (k *Key) signOutside(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, signWait)
	defer cancel()
	signature, err := k.private.outside.Sign(withoutValues{ctx}, digest, opts)
	switch {
	case err == nil:
		return signature, nil
	case ctx.Err() != nil:
		return nil, &KeyError{Err: errNotInTime, timeout: true}
	}
	return nil, &KeyError{Err: err}
}

// withoutValues is a context without its values. One of them may be the trace of a call
// (net/http/httptrace), which would take a connection to what holds the key for one to the
// call's server.
type withoutValues struct{ context.Context }

// Value implements context.Context.
func (withoutValues) Value(any) any { return nil }
