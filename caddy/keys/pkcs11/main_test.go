package pkcs11

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/keystest"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// softHSM is the PKCS#11 module of Debian's softhsm2.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

const (
	pin   = "planted-pin-4711"
	soPIN = "planted-so-pin-4711"
)

// tokens are the labels of the tokens that there are. SoftHSM does not see tokens that
// come after it was loaded.
var tokens = []string{"seals", "guarded", "restarted", "lost", "gateway", "checked", "served", "occupied", "vendor", "stale", "names"}

func TestMain(m *testing.M) {
	keystest.BeCaddy() // with the tokens of the process that runs the command
	dir, err := os.MkdirTemp("", "softhsm")
	if err == nil {
		err = prepare(dir)
	}
	status := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// prepare makes the tokens in dir.
func prepare(dir string) error {
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"), 0o600); err != nil {
		return err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return err
	}
	if err := os.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+filepath.Join(dir, "p11-kit")); err != nil {
		return err
	}
	for _, label := range tokens {
		out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", soPIN).CombinedOutput()
		if err != nil {
			return fmt.Errorf("softhsm2-util: %w: %s", err, out)
		}
	}
	return nil
}

// a hooked module calls before with the name of each call that uses the token, and does
// not make the call if before returns an error.
type hooked struct {
	cryptoki
	before func(call string) error
}

func (h *hooked) GetSlotList(present bool) ([]uint, error) {
	if err := h.before("GetSlotList"); err != nil {
		return nil, err
	}
	return h.cryptoki.GetSlotList(present)
}

func (h *hooked) Login(session pkcs11.SessionHandle, user uint, pin string) error {
	if err := h.before("Login"); err != nil {
		return err
	}
	return h.cryptoki.Login(session, user, pin)
}

func (h *hooked) SignInit(session pkcs11.SessionHandle, mechanism []*pkcs11.Mechanism, key pkcs11.ObjectHandle) error {
	if err := h.before("SignInit"); err != nil {
		return err
	}
	return h.cryptoki.SignInit(session, mechanism, key)
}

// hookedLibrary returns a library of its own, as another process has it. before may be nil.
func hookedLibrary(before func(call string) error) *library {
	return newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		if err != nil || before == nil {
			return loaded, err
		}
		return &hooked{loaded, before}, nil
	}, new(guards))
}

// newKey returns the key with the given label, and a function that sets the PIN.
func newKey(t testing.TB, l *library, token, label string) (*Key, func(pin string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pin")
	set := func(pin string) {
		if err := os.WriteFile(file, []byte(pin+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(pin)
	k := &Key{Module: softHSM, Token: token, Label: label, name: name{label: label}}
	k.token = newToken(l, token, caddyesign.KeySecret("{file."+file+"}"))
	t.Cleanup(func() { // not in the background: the sessions are logged in
		k.token.mu.Lock()
		idle := k.token.idle
		k.token.idle, k.token.closed = nil, true
		k.token.mu.Unlock()
		closeAll(idle)
	})
	return k, set
}

// makeKey makes the key with the given label.
func makeKey(t testing.TB, l *library, token, label, alg string) *tokenauth.Key {
	t.Helper()
	k, _ := newKey(t, l, token, label)
	key, err := k.MakeKey(t.Context(), alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// secret returns text as a secret.
func secret(text string) tokenauth.Secret { return tokenauth.NewSecret(text) }

// only returns the key with a single algorithm.
func (k *Key) only(ctx context.Context, alg string) (*tokenauth.Key, error) {
	found := make(chan foundKey, 1)
	err := k.token.do(ctx, func(s *session) error {
		key, err := s.find(k.name)
		if err == nil {
			found <- key
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return tokenauth.NewKey(&signer{k, (<-found).public}, "", alg)
}
