package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// maxSessions is how many calls to one token are made at once. A call that hangs in the
// module keeps its place, so it is also how many threads can hang.
const maxSessions = 8

// A token is a PKCS#11 token with a pool of sessions. Modules with the same configuration
// share it.
type token struct {
	library *library
	label   string
	pin     caddyesign.KeySecret
	queue   *tokenauth.Queue

	mu       sync.Mutex
	idle     []*session
	closed   bool
	seen     bool      // it was there
	relooked time.Time // when the module was last initialized again to find it
}

// newToken returns a token. It is not used before it is needed.
func newToken(l *library, label string, pin caddyesign.KeySecret) *token {
	return &token{library: l, label: label, pin: pin, queue: tokenauth.NewQueue(maxSessions)}
}

// errClosed is the error for a token that no configuration uses any more.
var errClosed = errors.New("no configuration uses it any more")

// Destruct implements caddy.Destructor: it closes the sessions. It does not wait, since
// the module may hang.
func (t *token) Destruct() error {
	t.mu.Lock()
	idle := t.idle
	t.idle, t.closed = nil, true
	t.mu.Unlock()
	go t.library.closeIdle(idle) // ends when the module has closed them
	return nil
}

// closeAll closes sessions.
func closeAll(sessions []*session) {
	for _, s := range sessions {
		_ = s.CloseSession(s.handle)
	}
}

// do calls f with a session, when it is its turn. If the session is lost, it calls f again
// with another one. If ctx ends before, f may go on; so it must not write to variables
// that the caller uses after that.
func (t *token) do(ctx context.Context, f func(*session) error) error {
	return t.queue.Do(ctx, func() error {
		generation := t.library.generation.Load()
		err := t.inSession(f)
		if !errors.Is(err, errModule) && (!errors.Is(err, errAbsent) || !t.mayRelook()) {
			return err
		}
		if restartErr := t.library.restart(generation); restartErr != nil {
			return fmt.Errorf("%w; %w", err, restartErr)
		}
		return t.inSession(f)
	})
}

// errModule is the error of a module that has no token at all, or cannot say. One that
// passes calls on to a server may have lost its connection, and makes another one when it
// is initialized.
var errModule = errors.New("the PKCS#11 module has no token: look whether it is connected, and whether this user may use it")

// errAbsent is the error of a token that the module does not have.
var errAbsent = errors.New("it is not there")

// relookWait is how often a module is initialized again to find a token that was there.
const relookWait = 5 * time.Second

// mayRelook reports whether the module may be initialized again to find the token. Some
// modules, such as SoftHSM, see which tokens there are only then. The sessions of other
// tokens are lost by that, so it is not done for one that was never there.
func (t *token) mayRelook() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.seen || time.Since(t.relooked) < relookWait {
		return false
	}
	t.relooked = time.Now()
	return true
}

// inSession calls f with a session, and again with another one if that is lost.
func (t *token) inSession(f func(*session) error) error {
	t.library.enter()
	defer t.library.leave()
	s, err := t.take()
	if err != nil {
		return err
	}
	if err = f(s); isLost(err) {
		t.drop(s)
		if s, err = t.open(); err != nil {
			return err
		}
		err = f(s)
	}
	t.put(s, err)
	return err
}

// take returns a session that is idle, or a new one.
func (t *token) take() (*session, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errClosed
	}
	for len(t.idle) > 0 {
		n := len(t.idle) - 1
		s := t.idle[n]
		t.idle = t.idle[:n]
		if t.library.knows(s) {
			t.mu.Unlock()
			return s, nil
		}
	}
	t.mu.Unlock()
	return t.open()
}

// put makes s idle, or closes it if it is not needed any more, or lost with err.
func (t *token) put(s *session, err error) {
	t.mu.Lock()
	keep := !t.closed && !isLost(err)
	if keep {
		t.idle = append(t.idle, s)
	}
	t.mu.Unlock()
	if !keep {
		closeAll([]*session{s})
	}
}

// drop closes s and all idle sessions: they are lost too.
func (t *token) drop(s *session) {
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	closeAll(append(idle, s))
}

// open opens a session and logs in.
func (t *token) open() (*session, error) {
	module, err := t.library.cryptoki()
	if err != nil {
		return nil, err
	}
	slot, info, err := t.find(module)
	if err != nil {
		return nil, err
	}
	handle, err := module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	s := &session{
		cryptoki: module, handle: handle, slot: slot, login: info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0,
		age: t.library.generation.Load(), keys: make(map[name]foundKey),
	}
	if err := t.login(s, info); err != nil {
		closeAll([]*session{s})
		return nil, err
	}
	return s, nil
}

// login logs in, if that is needed.
func (t *token) login(s *session, info pkcs11.TokenInfo) error {
	if !s.login || s.loggedIn() { // all sessions of a process are logged in together
		return nil
	}
	pin, err := t.pin.Read()
	if err != nil {
		return fmt.Errorf("its PIN cannot be read: %w", err)
	}
	return t.library.guards.guard(info).login(info.Flags, pin, func(pin string) error { return s.Login(s.handle, pkcs11.CKU_USER, pin) })
}

// find returns the slot of the token.
func (t *token) find(module cryptoki) (slot uint, info pkcs11.TokenInfo, err error) {
	slots, err := module.GetSlotList(true)
	if err != nil {
		return 0, info, fmt.Errorf("%w: %w", errModule, err)
	}
	var others []string
	matches := 0
	for _, candidate := range slots {
		found, err := module.GetTokenInfo(candidate)
		if err != nil {
			continue // it has just been removed, or has nothing to do with this one
		}
		if found.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 && tokenLabel(found) == "" {
			others = append(others, "one that is not initialized")
			continue
		}
		if label := tokenLabel(found); label != t.label {
			others = append(others, fmt.Sprintf("'%.32s'", label))
			continue
		}
		slot, info = candidate, found
		matches++
	}
	switch {
	case matches > 1:
		return 0, info, fmt.Errorf("%d tokens have this label: give each a label of its own", matches)
	case matches == 1:
		t.mu.Lock()
		t.seen = true
		t.mu.Unlock()
		return slot, info, nil
	case len(others) == 0:
		return 0, info, errModule
	}
	return 0, info, fmt.Errorf("%w; the module has %s", errAbsent, strings.Join(others, ", "))
}

// tokenLabel returns the label of a token. It is padded with blanks; some modules use zeros.
func tokenLabel(info pkcs11.TokenInfo) string { return strings.TrimRight(info.Label, " \x00") }
