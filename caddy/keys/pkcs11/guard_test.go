package pkcs11

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/pkcs11"
)

func TestGuard(t *testing.T) {
	for name, test := range map[string]struct {
		flags uint
		want  error
	}{
		"locked": {pkcs11.CKF_USER_PIN_LOCKED | pkcs11.CKF_USER_PIN_COUNT_LOW, errLocked},
		"last":   {pkcs11.CKF_USER_PIN_FINAL_TRY, errLast},
		"few":    {pkcs11.CKF_USER_PIN_COUNT_LOW, errFew},
		"free":   {0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tried := false
			err := new(guard).login(test.flags, secret("1234"), func(string) error { tried = true; return nil })
			if !errors.Is(err, test.want) || tried != (test.want == nil) {
				t.Errorf("error is %v, tried is %v", err, tried)
			}
		})
	}
	g := new(guard)
	wrong := func(string) error { return pkcs11.Error(pkcs11.CKR_PIN_INCORRECT) }
	for i, step := range []struct {
		pin  string
		want error
	}{{"1", errRefused}, {"1", errRefused}, {"2", errRefused}, {"3", errFew}} {
		if err := g.login(uint(min(i, 1))*pkcs11.CKF_USER_PIN_COUNT_LOW, secret(step.pin), wrong); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
	}
}

// Clients of one token may have different PINs that are wrong. A token that does not say
// that a wrong PIN was given is not locked by them in turn.
func TestGuardOfDifferentWrongPINs(t *testing.T) {
	g, tries := new(guard), 0
	for range 5 {
		for _, pin := range []string{"1", "2"} {
			err := g.login(0, secret(pin), func(string) error { tries++; return pkcs11.Error(pkcs11.CKR_PIN_INCORRECT) })
			if !errors.Is(err, errRefused) {
				t.Errorf("error is %v", err)
			}
		}
	}
	if tries != 2 {
		t.Errorf("2 PINs were tried %d times", tries)
	}
}

// A login may fail without a word about the PIN. Some tokens answer a wrong PIN so, and so
// does a device in trouble.
func TestGuardOfAnUnclearAnswer(t *testing.T) {
	for name, answer := range map[string]uint{
		"vendor":   pkcs11.CKR_VENDOR_DEFINED | 0x63c2,
		"failed":   pkcs11.CKR_FUNCTION_FAILED,
		"general":  pkcs11.CKR_GENERAL_ERROR,
		"device":   pkcs11.CKR_DEVICE_ERROR,
		"removed":  pkcs11.CKR_DEVICE_REMOVED,
		"closed":   pkcs11.CKR_SESSION_CLOSED,
		"canceled": pkcs11.CKR_FUNCTION_CANCELED,
		"expired":  pkcs11.CKR_PIN_EXPIRED,
		"memory":   pkcs11.CKR_HOST_MEMORY,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, tries := new(guard), 0
				var says error = pkcs11.Error(answer)
				login := func(flags uint, pin string) error {
					return g.login(flags, secret(pin), func(string) error { tries++; return says })
				}
				for second := range 600 {
					want := errUnclear
					if second >= 60 {
						want = errTwice
					}
					if err := login(0, "1"); !errors.Is(err, want) || !errors.Is(err, says) {
						t.Fatalf("after %d seconds, the error is %v, want %v", second, err, want)
					}
					time.Sleep(time.Second)
				}
				if tries != 2 {
					t.Errorf("the PIN was tried %d times, want twice", tries)
				}
				if err := login(pkcs11.CKF_USER_PIN_COUNT_LOW, "1"); !errors.Is(err, errRefused) {
					t.Errorf("when the token says that it has counted, the error is %v", err)
				}
				says = nil
				if err := login(0, "2"); err != nil {
					t.Errorf("with another PIN: %v", err)
				}
				if err := login(0, "1"); err != nil {
					t.Errorf("after a PIN was accepted: %v", err)
				}
			})
		})
	}
}

// A device that was in trouble for a moment works again without help.
func TestGuardAfterTroubleOfTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(guard)
		var says error = pkcs11.Error(pkcs11.CKR_DEVICE_ERROR)
		try := func(string) error { return says }
		if err := g.login(0, secret("1"), try); !errors.Is(err, errUnclear) {
			t.Errorf("error is %v", err)
		}
		says = nil
		if err := g.login(0, secret("1"), try); !errors.Is(err, errUnclear) {
			t.Errorf("at once, the error is %v", err)
		}
		time.Sleep(unclearWait)
		if err := g.login(0, secret("1"), try); err != nil {
			t.Errorf("a minute later, the error is %v", err)
		}
	})
}

// If the token counts an unclear answer, the PIN was wrong. Another PIN is tried once, since
// this process alone gave the wrong one.
func TestGuardOfATokenThatCountsAnUnclearAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, tries := new(guard), 0
		fails := func(string) error { tries++; return pkcs11.Error(pkcs11.CKR_FUNCTION_FAILED) }
		_ = g.login(0, secret("1"), fails)
		time.Sleep(2 * unclearWait)
		for _, step := range []struct {
			pin  string
			want error
		}{{"1", errRefused}, {"2", errUnclear}, {"3", errFew}} {
			if err := g.login(pkcs11.CKF_USER_PIN_COUNT_LOW, secret(step.pin), fails); !errors.Is(err, step.want) {
				t.Errorf("PIN %s: error is %v, want %v", step.pin, err, step.want)
			}
		}
		if tries != 2 {
			t.Errorf("%d tries, want 2", tries)
		}
	})
}

// What fails before the token sees the PIN does not count.
func TestGuardOfALoginThatDidNotReachTheToken(t *testing.T) {
	g, tries := new(guard), 0
	for _, value := range []uint{
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_TOKEN_NOT_PRESENT,
		pkcs11.CKR_USER_PIN_NOT_INITIALIZED,
	} {
		err := g.login(0, secret("1"), func(string) error { tries++; return pkcs11.Error(value) })
		if err == nil || errors.Is(err, errUnclear) || errors.Is(err, errRefused) {
			t.Errorf("%v: error is %v", pkcs11.Error(value), err)
		}
	}
	if tries != 4 {
		t.Errorf("%d of 4 logins were tried", tries)
	}
}

// The database of NSS is a token, which has no PIN before certutil has made one.
func TestGuardOfATokenWithoutAPIN(t *testing.T) {
	for _, value := range []uint{pkcs11.CKR_USER_PIN_NOT_INITIALIZED, pkcs11.CKR_USER_TYPE_INVALID} { // NSS has the other
		try := func(string) error { return pkcs11.Error(value) }
		if err := new(guard).login(pkcs11.CKF_LOGIN_REQUIRED, secret("1234"), try); !errors.Is(err, errNotSet) {
			t.Errorf("error is %v", err)
		}
	}
}

// A token whose PIN is typed at a reader may take it from a program too.
func TestGuardOfAReader(t *testing.T) {
	const flags = pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH
	if err := new(guard).login(flags, secret(""), nil); !errors.Is(err, errReader) {
		t.Errorf("without pin, the error is %v", err)
	}
	if err := new(guard).login(flags, secret("1"), func(string) error { return nil }); err != nil {
		t.Errorf("with pin, the error is %v", err)
	}
}

// Two modules may lead to one token. A PIN that it refuses through one is not tried through
// the other.
func TestGuardOfATokenThatTwoModulesHave(t *testing.T) {
	g := new(guards)
	info := pkcs11.TokenInfo{ManufacturerID: "vendor", Model: "model", SerialNumber: "1", Label: "seals"}
	first := g.guard(info)
	if g.guard(info) != first {
		t.Error("one token has two guards")
	}
	other := info
	other.SerialNumber = "2"
	if g.guard(other) == first {
		t.Error("two tokens have one guard")
	}
	direct, err := libraryAt(softHSM)
	if err != nil {
		t.Fatal(err)
	}
	served, err := libraryAt(p11KitClient(t))
	if err != nil {
		t.Fatal(err)
	}
	if direct == served || direct.guards != served.guards {
		t.Error("the libraries have not the same guards")
	}
}
