package pkcs11

import (
	"errors"
	"slices"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Why a guard does not let a PIN be tried.
var (
	errLocked  = errors.New("its PIN is locked: have its security officer set a new one")
	errLast    = errors.New("it says that one try is left for its PIN (CKF_USER_PIN_FINAL_TRY), so the PIN is not tried: log in with another program first")
	errFew     = errors.New("it says that a wrong PIN was given (CKF_USER_PIN_COUNT_LOW), so the PIN is not tried: look at the PIN, and log in with another program first, as by 'pkcs11-tool --login --list-objects'")
	errRefused = errors.New("it refuses the PIN, which is not tried again until it changes")
	errNoPIN   = errors.New("it needs a PIN: give pin")
)

// A guard prevents that a wrong PIN locks a token. A PIN that was refused is not tried
// again. If the token says that a wrong PIN was given, no PIN is tried, so that a process
// that is started over and over tries once. There is an exception: this process alone gave
// that PIN, once, and the PIN has changed since.
type guard struct {
	mu      sync.Mutex         // held while a PIN is tried
	refused []tokenauth.Secret // the PINs that were refused since one was accepted
}

// login calls try, unless that may lock the token with the given flags.
func (g *guard) login(flags uint, pin tokenauth.Secret, try func(pin string) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return errLocked
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return errLast
	case pin.Empty():
		return errNoPIN
	case slices.ContainsFunc(g.refused, pin.Equal):
		return errRefused
	case flags&pkcs11.CKF_USER_PIN_COUNT_LOW != 0 && len(g.refused) != 1:
		return errFew
	}
	switch err := try(pin.Reveal()); {
	case is(err, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE):
		g.refused = append(g.refused, pin)
		return errRefused
	case is(err, pkcs11.CKR_PIN_LOCKED):
		return errLocked
	case err != nil && !is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN):
		return err
	}
	g.refused = nil
	return nil
}
