package pkcs11

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/caddyserver/caddy/v2"
)

// cryptoki is what is used of a PKCS#11 module. It is implemented by *pkcs11.Ctx.
type cryptoki interface {
	Initialize(options ...pkcs11.InitializeOption) error
	Finalize() error
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetTokenInfo(slot uint) (pkcs11.TokenInfo, error)
	GetMechanismList(slot uint) ([]*pkcs11.Mechanism, error)
	OpenSession(slot, flags uint) (pkcs11.SessionHandle, error)
	GetSessionInfo(session pkcs11.SessionHandle) (pkcs11.SessionInfo, error)
	CloseSession(session pkcs11.SessionHandle) error
	Login(session pkcs11.SessionHandle, user uint, pin string) error
	FindObjectsInit(session pkcs11.SessionHandle, template []*pkcs11.Attribute) error
	FindObjects(session pkcs11.SessionHandle, most int) ([]pkcs11.ObjectHandle, bool, error)
	FindObjectsFinal(session pkcs11.SessionHandle) error
	GetAttributeValue(session pkcs11.SessionHandle, object pkcs11.ObjectHandle, template []*pkcs11.Attribute) ([]*pkcs11.Attribute, error)
	SignInit(session pkcs11.SessionHandle, mechanism []*pkcs11.Mechanism, key pkcs11.ObjectHandle) error
	Sign(session pkcs11.SessionHandle, input []byte) ([]byte, error)
	GenerateKeyPair(session pkcs11.SessionHandle, mechanism []*pkcs11.Mechanism, public, private []*pkcs11.Attribute) (pkcs11.ObjectHandle, pkcs11.ObjectHandle, error)
}

// A library is a PKCS#11 module that this process loads when it first needs it. It stays
// loaded, even when no configuration uses it any more: a call that hangs may still be in
// it. It knows which PINs were refused.
type library struct {
	path string
	load func(path string) (cryptoki, error)

	use        sync.RWMutex // held for writing while the module is initialized again, else by calls
	generation int          // how often that was done

	mu     sync.Mutex
	loaded cryptoki
	guards map[string]*guard // by the serial number of the token
}

// libraryAt returns the library in the file path, the same one as long as this process
// runs, and by whatever link.
func libraryAt(path string) (*library, error) {
	key := libraryKey{path}
	if file, err := filepath.EvalSymlinks(path); err == nil { // else load says what is wrong
		key.path = file
	}
	val, loaded, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return &library{path: path, load: load}, nil })
	if err != nil {
		return nil, err
	}
	if loaded {
		_, err = pool.Delete(key) // the first reference is the one that is kept
	}
	return val.(*library), err
}

// Destruct implements caddy.Destructor.
func (*library) Destruct() error { return nil }

// cryptoki returns the loaded module.
func (l *library) cryptoki() (cryptoki, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded == nil {
		loaded, err := l.load(l.path)
		if err != nil {
			return nil, err
		}
		l.loaded = loaded
	}
	return l.loaded, nil
}

// restart initializes the module again, and reports whether it has done so. It does nothing
// while a call is in the module. All sessions are lost.
func (l *library) restart() bool {
	if !l.use.TryLock() {
		return false
	}
	defer l.use.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded == nil {
		return false
	}
	l.generation++
	_ = l.loaded.Finalize() // it may have lost what it would end
	return l.loaded.Initialize() == nil
}

// guard returns the guard of the token with the given serial number.
func (l *library) guard(serial string) *guard {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guards == nil {
		l.guards = make(map[string]*guard)
	}
	if l.guards[serial] == nil {
		l.guards[serial] = new(guard)
	}
	return l.guards[serial]
}

// load loads the module in the file path.
func load(path string) (cryptoki, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the PKCS#11 module cannot be read: %w", err)
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("%s cannot be loaded: it is not a PKCS#11 module for this machine, or a library that it needs is missing", path)
	}
	// This process may have initialized it for an earlier configuration.
	if err := ctx.Initialize(); err != nil && !is(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		return nil, fmt.Errorf("%s cannot be initialized: %w", path, err)
	}
	return ctx, nil
}
