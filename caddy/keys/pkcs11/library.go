package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
	"golang.org/x/sync/semaphore"

	"github.com/caddyserver/caddy/v2"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
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
// it.
type library struct {
	path    string
	load    func(path string) (cryptoki, error)
	guards  *guards
	outages caddyesign.KeyOutages

	use        *semaphore.Weighted // held as a whole while the module is initialized again, else by calls
	generation atomic.Int64        // how often that was done

	mu     sync.Mutex
	loaded cryptoki
}

// newLibrary returns the library in the file path, which load loads.
func newLibrary(path string, load func(path string) (cryptoki, error), guards *guards) *library {
	return &library{path: path, load: load, guards: guards, use: semaphore.NewWeighted(everyCall)}
}

// everyCall is the weight of library.use. A call has a weight of 1.
const everyCall = 1 << 30

// enter says that a call to the module begins. It waits while the module is to be initialized
// again, for restartWait at most. leave must be called when the call has ended.
func (l *library) enter() { _ = l.use.Acquire(context.Background(), 1) } // it fails only with the context

// leave says that a call to the module has ended.
func (l *library) leave() { l.use.Release(1) }

// libraryAt returns the library in the file path, the same one as long as this process
// runs, and by whatever link.
func libraryAt(path string) (*library, error) {
	key := libraryKey{path}
	if file, err := filepath.EvalSymlinks(path); err == nil { // else load says what is wrong
		key.path = file
	}
	known, err := kept(guardsKey{}, func() caddy.Destructor { return new(guards) })
	if err != nil {
		return nil, err
	}
	val, err := kept(key, func() caddy.Destructor { return newLibrary(path, load, known.(*guards)) })
	if err != nil {
		return nil, err
	}
	return val.(*library), nil
}

// kept returns what the pool has for key, or what make returns. The pool keeps it as long
// as this process runs.
func kept(key any, make func() caddy.Destructor) (any, error) {
	val, loaded, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return make(), nil })
	if err == nil && loaded {
		_, err = pool.Delete(key) // the first reference is the one that stays
	}
	return val, err
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

// knows reports whether s was opened since the module was initialized last. If not, its handle
// may be that of another session now.
func (l *library) knows(s *session) bool { return s.age == l.generation.Load() }

// closeIdle closes sessions that no call uses.
func (l *library) closeIdle(sessions []*session) {
	l.enter()
	defer l.leave()
	closeAll(slices.DeleteFunc(sessions, func(s *session) bool { return !l.knows(s) }))
}

// restartWait is how long a call waits for the others in the module to end, so that it can
// be initialized again.
const restartWait = time.Second

// errOccupied is the error if a call in the module does not end.
var errOccupied = errors.New("the module must be initialized again, but a call hangs in it; if that lasts, restart Caddy")

// restart initializes the module again, unless that was done after the given generation.
// All sessions are lost. It waits for the calls in the module to end, while new ones wait for
// it, and returns errOccupied if one does not.
func (l *library) restart(generation int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), restartWait)
	defer cancel()
	if l.use.Acquire(ctx, everyCall) != nil {
		return errOccupied
	}
	defer l.use.Release(everyCall)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded == nil || l.generation.Load() != generation {
		return nil
	}
	l.generation.Add(1)
	_ = l.loaded.Finalize() // it may have lost what it would end
	if err := l.loaded.Initialize(); err != nil {
		return fmt.Errorf("it cannot be initialized again: %w", err)
	}
	return nil
}

// load loads the module in the file path.
func load(path string) (cryptoki, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the PKCS#11 module cannot be read: %w", err)
	}
	if err := probe(path); err != nil {
		return nil, err
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, errNoModule(path)
	}
	// This process may have initialized it for an earlier configuration.
	switch err := ctx.Initialize(); {
	case err == nil, is(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED):
		return ctx, nil
	case is(err, pkcs11.CKR_ARGUMENTS_BAD): // as by NSS's softokn
		return nil, fmt.Errorf("%s cannot be initialized without parameters (%w): have p11-kit give them (x-init-reserved), and name p11-kit-proxy.so here", path, err)
	default:
		return nil, fmt.Errorf("%s cannot be initialized: %w: look whether this user may use it (the files of SoftHSM, for one, are for a group), and whether the service that it may need runs", path, err)
	}
}

// errNoModule returns the error if the module in the file path cannot be loaded.
func errNoModule(path string) error {
	return fmt.Errorf("%s cannot be loaded: this user may not read it, it is not a PKCS#11 module for this machine, or a library that it needs is missing", path)
}
