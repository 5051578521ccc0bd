package pkcs11

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Why a guard does not let a PIN be tried, or what came of it.
var (
	errLocked  = errors.New("its PIN is locked: have its security officer set a new one")
	errLast    = errors.New("it says that one try is left for its PIN (CKF_USER_PIN_FINAL_TRY), so the PIN is not tried: log in with another program first")
	errFew     = errors.New("it says that a wrong PIN was given (CKF_USER_PIN_COUNT_LOW), so the PIN is not tried: look at the PIN, and log in with another program first, as by 'pkcs11-tool --login --list-objects'")
	errRefused = errors.New("it refuses the PIN, which is not tried again until it changes")
	errNoPIN   = errors.New("it needs a PIN: give pin")
	errReader  = errors.New("its PIN is typed at a reader (CKF_PROTECTED_AUTHENTICATION_PATH), which the gateway cannot do: give pin, if it takes one from a program too")
	errNotSet  = errors.New("it has no user PIN yet: have its security officer set one")
	errUnclear = errors.New("it has not said whether the PIN is right, so the PIN is tried once more, a minute later at the earliest")
	errTwice   = errors.New("it has not said, twice, whether the PIN is right, so the PIN is not tried again until it changes, or Caddy is restarted")
)

// unclearWait is how long a PIN is not tried again after the token did not say whether it
// is right.
const unclearWait = time.Minute

// A guard prevents that a wrong PIN locks a token. A PIN that was refused is not tried
// again. If the token says that a wrong PIN was given, no PIN is tried, so that a process
// that is started over and over tries once. There is an exception: this process alone gave
// that PIN, once, and the PIN has changed since.
//
// Some tokens answer a wrong PIN with an error of their vendor, or with one that says
// nothing, such as CKR_FUNCTION_FAILED. The same errors come from a device that is in
// trouble for a moment. So a PIN that was neither accepted nor refused is tried once more,
// a minute later: a device has recovered then, or it was not the device. Two tries leave
// one to a token that allows three, as smart cards do.
type guard struct {
	mu    sync.Mutex // held while a PIN is tried
	tried []*attempt // since a PIN was accepted
}

// An attempt is a PIN that was tried and not accepted.
type attempt struct {
	pin     tokenauth.Secret
	times   int       // how often the token may have counted it
	last    time.Time // when it was tried
	refused bool      // the token says that it is wrong
	err     error     // what the token answered
}

// login calls try, unless that may lock the token with the given flags.
func (g *guard) login(flags uint, pin tokenauth.Secret, try func(pin string) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, times := &attempt{pin: pin}, 0
	for _, before := range g.tried {
		times += before.times
		if before.pin.Equal(pin) {
			a = before
		}
	}
	low := flags&pkcs11.CKF_USER_PIN_COUNT_LOW != 0
	switch {
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return errLocked
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return errLast
	case pin.Empty() && flags&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0:
		return errReader
	case pin.Empty():
		return errNoPIN
	case a.refused, a.times > 0 && low: // so it was counted
		return errRefused
	case a.times > 1:
		return fmt.Errorf("%w: %w", errTwice, a.err)
	case a.times > 0 && time.Since(a.last) < unclearWait:
		return fmt.Errorf("%w: %w", errUnclear, a.err)
	case low && times != 1:
		return errFew
	}
	switch err := try(pin.Reveal()); {
	case err == nil:
		g.tried = nil
		return nil
	case is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN): // by another session of this process
		return nil
	case is(err, pkcs11.CKR_PIN_LOCKED):
		return errLocked
	case is(err, pkcs11.CKR_USER_PIN_NOT_INITIALIZED), is(err, pkcs11.CKR_USER_TYPE_INVALID) && flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		return errNotSet
	case isUntried(err):
		return fmt.Errorf("logging in: %w", err)
	default:
		if a.times == 0 {
			g.tried = append(g.tried, a)
		}
		a.times++
		a.last, a.err = time.Now(), err
		a.refused = is(err, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE)
		switch {
		case a.refused:
			return errRefused
		case a.times > 1:
			return fmt.Errorf("%w: %w", errTwice, err)
		}
		return fmt.Errorf("%w: %w", errUnclear, err)
	}
}

// isUntried reports whether a login failed before the token saw the PIN (PKCS#11 v2.40
// section 5.1). It does not for CKR_DEVICE_REMOVED and CKR_SESSION_CLOSED, which are for
// what happens during a call.
func isUntried(err error) bool {
	return is(err, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_TOKEN_NOT_PRESENT,
		pkcs11.CKR_ARGUMENTS_BAD, pkcs11.CKR_OPERATION_NOT_INITIALIZED, pkcs11.CKR_SESSION_READ_ONLY_EXISTS,
		pkcs11.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, pkcs11.CKR_USER_TOO_MANY_TYPES, pkcs11.CKR_USER_TYPE_INVALID)
}

// guards are the guards of tokens. Several PKCS#11 modules may lead to one token, such as
// its own and that of p11-kit, so they are not those of a module.
type guards struct {
	mu  sync.Mutex
	all map[identity]*guard
}

// An identity says which token it is. Not all vendors give serial numbers.
type identity struct{ manufacturer, model, serial, label string }

// guard returns the guard of a token, the same one each time.
func (g *guards) guard(info pkcs11.TokenInfo) *guard {
	id := identity{info.ManufacturerID, info.Model, info.SerialNumber, tokenLabel(info)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[identity]*guard)
	}
	if g.all[id] == nil {
		g.all[id] = new(guard)
	}
	return g.all[id]
}

// Destruct implements caddy.Destructor.
func (*guards) Destruct() error { return nil }
