package pkcs11

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/caddyserver/caddy/v2"
)

func TestKeysOfEveryKindSign(t *testing.T) {
	l := hookedLibrary(nil)
	for alg, all := range map[string]string{
		"ES256": `"alg":"ES256"`, "ES384": `"alg":"ES384"`, "ES512": `"alg":"ES512"`, "RS256": `"alg":"RS256"`,
	} {
		t.Run(alg, func(t *testing.T) {
			label := "kind-" + alg
			made := makeKey(t, l, "seals", label, alg)
			public, err := made.Public()
			if err != nil || !strings.Contains(string(public), all) || strings.Contains(string(public), `"d"`) {
				t.Fatalf("its public half is %s (%v)", public, err)
			}
			if err := made.Try(t.Context()); err != nil {
				t.Error(err)
			}
			k, _ := newKey(t, hookedLibrary(nil), "seals", label)
			found, err := k.Key(t.Context(), "kid-1")
			if err != nil || found.Thumbprint() != made.Thumbprint() || found.ID() != "kid-1" {
				t.Errorf("found is %v with the kid %s (%v), want %v", found, found.ID(), err, made)
			}
			if _, err := k.MakeKey(t.Context(), alg); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("made again, the error is %v", err)
			}
		})
	}
}

// The JWKS of a key made for PS256 would say RS256, which the gateway prefers.
func TestKeyOfAnotherAlgorithmIsNotMade(t *testing.T) {
	k, _ := newKey(t, hookedLibrary(nil), "seals", "other")
	if _, err := k.MakeKey(t.Context(), "PS256"); err == nil || !strings.Contains(err.Error(), "use ES256, ES384, ES512 or RS256") {
		t.Errorf("error is %v", err)
	}
}

func TestPSSSigns(t *testing.T) {
	l := hookedLibrary(nil)
	made := makeKey(t, l, "seals", "pss", "RS256")
	k, _ := newKey(t, l, "seals", "pss")
	for _, alg := range []string{"PS256", "PS384", "PS512", "RS512"} {
		key, err := k.only(t.Context(), alg)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Try(t.Context()); err != nil || key.Thumbprint() != made.Thumbprint() {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// Keys may have the same id, as those of programs that do not choose one.
func TestKeysWithTheSameID(t *testing.T) {
	l := hookedLibrary(nil)
	for _, label := range []string{"first", "second"} {
		k, _ := newKey(t, l, "seals", "same-id-"+label)
		k.name.id = "same"
		generateWith(t, k, "ES256")
		made, err := k.Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		k.name.id = ""
		key, err := k.Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Try(t.Context()); err != nil || key.Thumbprint() != made.Thumbprint() {
			t.Errorf("the %s one is %v, want %v (%v)", label, key, made, err)
		}
	}
}

// The public half may have another label than the private key, if its id is the same.
func TestPublicKeyWithAnotherLabel(t *testing.T) {
	l := hookedLibrary(nil)
	made := makeKey(t, l, "seals", "renamed", "ES256")
	k, _ := newKey(t, l, "seals", "renamed")
	err := k.token.do(t.Context(), func(s *session) error {
		public, err := s.objects(k.name.template(pkcs11.CKO_PUBLIC_KEY), 1)
		if err != nil || len(public) != 1 {
			return errors.New("no public key")
		}
		return s.cryptoki.(*pkcs11.Ctx).SetAttributeValue(s.handle, public[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, "otherwise")})
	})
	if err != nil {
		t.Fatal(err)
	}
	if key, err := k.Key(t.Context(), ""); err != nil || key.Thumbprint() != made.Thumbprint() {
		t.Errorf("the key is %v, want %v (%v)", key, made, err)
	}
}

// A module that only has RSASSA-PSS, and may be unable to say so.
type pssOnly struct {
	cryptoki
	fails bool // the next time
}

func (m *pssOnly) GetMechanismList(uint) ([]*pkcs11.Mechanism, error) {
	if m.fails {
		m.fails = false
		return nil, pkcs11.Error(pkcs11.CKR_DEVICE_ERROR)
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, nil)}, nil
}

// What was found in a session that is lost is not used.
func TestSessionLostWhileAlgorithmsAreListed(t *testing.T) {
	makeKey(t, hookedLibrary(nil), "seals", "listed", "RS256")
	k, _ := newKey(t, newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		return &pssOnly{loaded, true}, err
	}, new(guards)), "seals", "listed")
	key, err := k.Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if public, err := key.Public(); err != nil || !strings.Contains(string(public), `"alg":"PS256"`) {
		t.Errorf("the key is %s (%v), want one for PS256", public, err)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	l := hookedLibrary(nil)
	makeKey(t, l, "seals", "there", "ES256")
	for name, test := range map[string]struct{ module, token, label, want string }{
		"module":       {"/usr/lib/absent.so", "seals", "there", "the PKCS#11 module cannot be read: stat /usr/lib/absent.so"},
		"not a module": {"/etc/hostname", "seals", "there", "/etc/hostname cannot be loaded"},
		"token":        {softHSM, "sealz", "there", "it is not there; the module has '"},
		"label":        {softHSM, "seals", "their", "it has no private key with label 'their'; it has these: label '"},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := newKey(t, newLibrary(test.module, load, new(guards)), test.token, test.label)
			if _, err := k.Key(t.Context(), ""); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}

// A wrong PIN is tried once, then not again until it changes.
func TestWrongPINIsTriedOnce(t *testing.T) {
	var logins atomic.Int32
	l := hookedLibrary(func(call string) error {
		if call == "Login" {
			logins.Add(1)
		}
		return nil
	})
	k, set := newKey(t, l, "guarded", "guarded")
	set("planted-wrong-pin")
	for range 5 {
		_, err := k.Key(t.Context(), "")
		if !errors.Is(err, errRefused) || strings.Contains(err.Error(), "planted") {
			t.Fatalf("error is %v", err)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("the PIN was tried %d times", n)
	}
	set(pin)
	if _, err := k.MakeKey(t.Context(), "ES256"); err != nil {
		t.Errorf("with the right PIN: %v", err)
	}
}

// A process that is started over and over with a wrong PIN tries it once, and no other
// PIN: the next process finds that the token has counted.
func TestWrongPINDoesNotLockATokenOverRestarts(t *testing.T) {
	var logins atomic.Int32
	for i := range 5 {
		l := hookedLibrary(func(call string) error {
			if call == "Login" {
				logins.Add(1)
			}
			return nil
		})
		k, set := newKey(t, l, "restarted", "restarted")
		set("planted-wrong-pin")
		want := errFew
		if i == 0 {
			want = errRefused
		}
		if _, err := k.Key(t.Context(), ""); !errors.Is(err, want) {
			t.Errorf("process %d: error is %v, want %v", i, err, want)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("the PIN was tried %d times", n)
	}
}

// A token that is removed and comes back works again, with the same key.
func TestTokenThatComesBack(t *testing.T) {
	var away atomic.Bool
	l := hookedLibrary(func(call string) error {
		switch {
		case !away.Load():
		case call == "GetSlotList":
			return pkcs11.Error(pkcs11.CKR_DEVICE_REMOVED)
		case call == "SignInit":
			return pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)
		}
		return nil
	})
	key := makeKey(t, l, "lost", "lost", "ES256")
	if err := key.Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "the PKCS#11 token 'lost'") {
		t.Errorf("while it is away: %v", err)
	}
	away.Store(false)
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// Sessions that are lost while the token is there cost nothing but another session.
func TestLostSessionsAreReplaced(t *testing.T) {
	var once atomic.Bool
	l := hookedLibrary(func(call string) error {
		if call == "SignInit" && once.CompareAndSwap(true, false) {
			return pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)
		}
		return nil
	})
	key := makeKey(t, l, "seals", "session", "ES256")
	once.Store(true)
	if err := key.Try(t.Context()); err != nil || once.Load() {
		t.Errorf("error is %v", err)
	}
}

// Callers of a module that hangs leave by their own deadlines, and the calls in the module
// are bounded.
func TestModuleThatHangs(t *testing.T) {
	var hangs atomic.Bool
	var inside atomic.Int32
	repaired := make(chan struct{})
	l := hookedLibrary(func(call string) error {
		if call == "SignInit" && hangs.Load() {
			inside.Add(1)
			<-repaired
		}
		return nil
	})
	key := makeKey(t, l, "seals", "hang", "ES256")
	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var callers sync.WaitGroup
	for range 5 * maxSessions {
		callers.Go(func() {
			if err := key.Try(ctx); err == nil || ctx.Err() == nil {
				t.Errorf("before its deadline, the error is %v", err)
			}
		})
	}
	callers.Wait()
	if n := inside.Load(); n > maxSessions {
		t.Errorf("%d calls hang, want at most %d", n, maxSessions)
	}
	hangs.Store(false)
	close(repaired)
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func TestManyCallersShareTheSessions(t *testing.T) {
	l := hookedLibrary(nil)
	key := makeKey(t, l, "seals", "many", "ES256")
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			if err := key.Try(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
}

// A configuration without keys in hardware may come between two with a wrong PIN.
func TestRefusedPINsAreRememberedOverConfigurations(t *testing.T) {
	var before *library
	for range 2 {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		k := &Key{Module: softHSM, Token: "seals", Label: "remembered"}
		if err := k.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if before != nil && k.token.library != before {
			t.Error("it is forgotten which PINs were refused")
		}
		before = k.token.library
		if err := k.Cleanup(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// Two names of one file are one library: it has one state, and its tokens one guard each.
func TestLinkToAModule(t *testing.T) {
	link := filepath.Join(t.TempDir(), "hsm.so")
	if err := os.Symlink(softHSM, link); err != nil {
		t.Fatal(err)
	}
	direct, err := libraryAt(softHSM)
	if err != nil {
		t.Fatal(err)
	}
	if linked, err := libraryAt(link); err != nil || linked != direct {
		t.Errorf("by a link, it is another library (%v)", err)
	}
}

// A session may be logged out while it stays open, as when an HSM was restarted behind its
// module. Then a token shows no private keys, which is no error of the module.
func TestSessionsThatAreLoggedOut(t *testing.T) {
	l := hookedLibrary(nil)
	made := makeKey(t, l, "seals", "loggedout", "ES256")
	k, _ := newKey(t, l, "seals", "loggedout")
	err := k.token.do(t.Context(), func(s *session) error {
		return s.cryptoki.(*pkcs11.Ctx).Logout(s.handle)
	})
	if err != nil {
		t.Fatal(err)
	}
	if key, err := k.Key(t.Context(), ""); err != nil || key.Thumbprint() != made.Thumbprint() {
		t.Errorf("the key is %v, want %v (%v)", key, made, err)
	}
}

// A token whose answer to a wrong PIN is an error of its vendor is not asked each second.
func TestAnswerOfAVendorToAWrongPIN(t *testing.T) {
	var logins atomic.Int32
	l := hookedLibrary(func(call string) error {
		if call == "Login" {
			logins.Add(1)
			return pkcs11.Error(pkcs11.CKR_VENDOR_DEFINED | 0x63c2)
		}
		return nil
	})
	k, _ := newKey(t, l, "vendor", "vendor")
	for range 5 {
		if _, err := k.Key(t.Context(), ""); !errors.Is(err, errUnclear) || !strings.Contains(err.Error(), "0x800063C2") {
			t.Errorf("error is %v", err)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("the PIN was tried %d times", n)
	}
}

// A module that must be initialized again, as when p11-kit's server was restarted, cannot be
// while a call hangs in it. Others say so, instead of waiting for ever.
func TestModuleThatMustBeInitializedWhileACallHangs(t *testing.T) {
	var hangs, away atomic.Bool
	inside, repaired := make(chan struct{}), make(chan struct{})
	l := hookedLibrary(func(call string) error {
		switch {
		case call == "SignInit" && hangs.CompareAndSwap(true, false):
			close(inside)
			<-repaired
		case call == "SignInit" && away.Load():
			return pkcs11.Error(pkcs11.CKR_DEVICE_ERROR)
		case call == "GetSlotList" && away.Load():
			return pkcs11.Error(pkcs11.CKR_DEVICE_ERROR)
		}
		return nil
	})
	key := makeKey(t, l, "occupied", "occupied", "ES256")
	hangs.Store(true)
	hanging := make(chan error)
	go func() { hanging <- key.Try(t.Context()) }()
	<-inside
	away.Store(true)
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), errOccupied.Error()) {
		t.Errorf("error is %v, want %v", err, errOccupied)
	}
	away.Store(false)
	close(repaired)
	if err := <-hanging; err != nil {
		t.Errorf("what hung: %v", err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// The module can be initialized again although other tokens of it are used all the time.
func TestModuleThatIsInitializedWhileOthersSign(t *testing.T) {
	l := hookedLibrary(nil)
	key := makeKey(t, l, "seals", "busy", "ES256")
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range maxSessions {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := key.Try(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if err := l.restart(l.generation.Load()); err != nil {
			t.Error(err)
		}
	}
	cancel()
	callers.Wait()
}

// Sessions from before the module was initialized again are not closed: their handles may be
// those of others.
func TestSessionsFromBeforeAreNotClosed(t *testing.T) {
	l := hookedLibrary(nil)
	makeKey(t, l, "seals", "before", "ES256")
	open := func() *session {
		k, _ := newKey(t, l, "seals", "before")
		s, err := k.token.open()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := open()
	if err := l.restart(l.generation.Load()); err != nil {
		t.Fatal(err)
	}
	s := open()
	for s.handle != old.handle {
		s = open()
	}
	l.closeIdle([]*session{old})
	if _, err := s.key(name{label: "before"}); err != nil {
		t.Error(err)
	}
	l.closeIdle([]*session{s})
	if _, err := s.GetSessionInfo(s.handle); !isLost(err) {
		t.Errorf("it is still open: %v", err)
	}
}

// A gateway may use a key by its label alone or by its id alone. Another key with one of them
// would make that unclear, so it is not made.
func TestKeyWithALabelOrIDThatIsUsed(t *testing.T) {
	l := hookedLibrary(nil)
	makeKeyOf := func(label, id string) error {
		k, _ := newKey(t, l, "seals", label)
		k.name = name{label, id}
		_, err := k.MakeKey(t.Context(), "ES256")
		return err
	}
	if err := makeKeyOf("used-label", "used-id"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []name{{"used-label", "unused-id"}, {"unused-label", "used-id"}, {"", "used-id"}, {"used-label", ""}} {
		if err := makeKeyOf(n.label, n.id); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("%v: error is %v", n, err)
		}
	}
	if err := makeKeyOf("unused-label", "unused-id"); err != nil {
		t.Error(err)
	}
}

// A module that has no functions to give would crash the process with the first call.
func TestModuleWithoutFunctions(t *testing.T) {
	t.Setenv("P11_KIT_SERVER_ADDRESS", "/run/p11-kit.sock") // lacks "unix:path="
	path := p11KitClient(t)
	if _, err := load(path); err == nil || !strings.Contains(err.Error(), path+" gives no functions: pkcs11: 0x5: CKR_GENERAL_ERROR") {
		t.Errorf("error is %v", err)
	}
}

// stale is a module that sees only when it is initialized whether the token is there, as
// SoftHSM does.
type stale struct {
	cryptoki
	token   string
	away    atomic.Bool
	unknown bool
	times   int // how often it was initialized again
}

func (s *stale) Initialize(options ...pkcs11.InitializeOption) error {
	s.times++
	s.unknown = s.away.Load()
	return s.cryptoki.Initialize(options...)
}

func (s *stale) GetTokenInfo(slot uint) (pkcs11.TokenInfo, error) {
	info, err := s.cryptoki.GetTokenInfo(slot)
	if err == nil && info.Label == s.token && (s.unknown || s.away.Load()) {
		return info, pkcs11.Error(pkcs11.CKR_TOKEN_NOT_PRESENT)
	}
	return info, err
}

func (s *stale) FindObjectsInit(session pkcs11.SessionHandle, template []*pkcs11.Attribute) error {
	if s.away.Load() {
		return pkcs11.Error(pkcs11.CKR_DEVICE_REMOVED)
	}
	return s.cryptoki.FindObjectsInit(session, template)
}

// A token comes back, and the module does not see it by itself.
func TestTokenThatComesBackToAStaleModule(t *testing.T) {
	makeKey(t, hookedLibrary(nil), "stale", "stale", "ES256")
	module := &stale{token: "stale"}
	k, _ := newKey(t, newLibrary(softHSM, func(path string) (cryptoki, error) {
		loaded, err := load(path)
		module.cryptoki = loaded
		return module, err
	}, new(guards)), "stale", "stale")
	if _, err := k.Key(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	module.away.Store(true)
	for range 5 {
		if _, err := k.Key(t.Context(), ""); !errors.Is(err, errAbsent) {
			t.Errorf("while it is away, the error is %v", err)
		}
	}
	if module.times != 1 {
		t.Errorf("the module was initialized %d times, want once in %v", module.times, relookWait)
	}
	module.away.Store(false)
	k.token.relooked = time.Time{} // that time is over
	if _, err := k.Key(t.Context(), ""); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// If one key of a token fails, the log has one line for that, and others that sign do not
// end it.
func TestOutageOfOneKeyOfAToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"file","filename":"`+path+`"}}}}}`), true); err != nil {
		t.Fatal(err)
	}
	l := hookedLibrary(nil)
	sound, broken := makeKey(t, l, "seals", "sound", "ES256"), makeKey(t, l, "seals", "broken", "ES256")
	k, _ := newKey(t, l, "seals", "broken")
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		found, err := s.find(k.name)
		if err != nil {
			return err
		}
		return module.SetAttributeValue(s.handle, found.private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SIGN, false)})
	})
	for range 3 {
		if broken.Try(t.Context()) == nil || sound.Try(t.Context()) != nil {
			t.Fatal("the keys are not what the test needs")
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if begun, ended := strings.Count(string(log), "does not sign"), strings.Count(string(log), "signs again"); begun != 1 || ended != 0 {
		t.Errorf("the log has %d outages and %d ends, want one that lasts:\n%s", begun, ended, log)
	}
}
