// Package defective is a storage for Caddy with one defect. It keeps entries in files, so that
// several processes can share it.
package defective

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(Storage{})
}

// These are the defects.
const (
	// A lock is stored as the entry of its name, and overwrites it.
	OneKeySpace = "one_key_space"

	// Lock tries again for ever, and does not succeed any more after its context has ended.
	LockForEver = "lock_for_ever"

	// Lock returns an error at once if the lock is held.
	LockRefused = "lock_refused"

	// Lock does nothing.
	LockNothing = "lock_nothing"

	// A lock whose holder has died is never granted again.
	LockOfTheDead = "lock_of_the_dead"

	// The error for a missing entry is not fs.ErrNotExist.
	OtherNotFound = "other_not_found"

	// The error is fs.ErrNotExist also if the server is away, and if the context has
	// ended. With a file "gone" beside the entries, the server is away.
	NotFoundWhenGone = "not_found_when_gone"

	// Every operation takes a second and a half.
	Slow = "slow"

	// Operations never end, even if their context has ended.
	Hangs = "hangs"

	// Load returns a changed value.
	Changes = "changes"

	// Store does not keep the value.
	Forgets = "forgets"

	// After the first time, an entry is read from memory for ten minutes.
	Caches = "caches"

	// Every operation panics.
	Panics = "panics"

	// Writing entries and locks fails.
	ReadOnly = "read_only"
)

// All has all defects.
var All = []string{
	OneKeySpace, LockForEver, LockRefused, LockNothing, LockOfTheDead, OtherNotFound, NotFoundWhenGone,
	Slow, Hangs, Changes, Forgets, Caches, Panics, ReadOnly,
}

// own is the prefix of the gateway's keys and locks. For other keys, the storage has no
// defect: Caddy itself would not run with some of them.
const own = "tokenauth/"

// ErrDefect is the error of defective operations.
var ErrDefect = errors.New("the storage is defective")

// A Storage has one defect. In a Caddyfile:
//
//	storage defective <directory> <defect>
type Storage struct {
	// The directory of the entries and locks.
	Root string `json:"root"`

	// The defect.
	Defect string `json:"defect"`
}

// CaddyModule returns the module's information.
func (Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.defective", New: func() caddy.Module { return new(Storage) }}
}

// UnmarshalCaddyfile reads the directive.
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&s.Root, &s.Defect) {
		return d.ArgErr()
	}
	return nil
}

// Validate checks that the defect exists.
func (s *Storage) Validate() error {
	if !slices.Contains(All, s.Defect) {
		return fmt.Errorf("there is no defect %q", s.Defect)
	}
	return nil
}

// CertMagicStorage returns the storage.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) {
	files := &certmagic.FileStorage{Path: s.Root}
	return &storage{Storage: files, root: s.Root, defect: s.Defect, cache: make(map[string]cached)}, nil
}

// storage is the storage for CertMagic and the gateway.
type storage struct {
	certmagic.Storage // the files
	root, defect      string

	mu    sync.Mutex
	cache map[string]cached
}

// cached is an entry that was read.
type cached struct {
	value []byte
	until time.Time
}

// begin is called before every operation.
func (s *storage) begin(ctx context.Context, key string) error {
	if !strings.HasPrefix(key, own) {
		return nil
	}
	switch s.defect {
	case Slow:
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	case Hangs:
		select {}
	case Panics:
		panic(ErrDefect)
	case NotFoundWhenGone:
		if _, err := os.Stat(filepath.Join(s.root, "gone")); err == nil || ctx.Err() != nil {
			return ErrDefect
		}
	}
	return nil
}

func (s *storage) Lock(ctx context.Context, name string) error {
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	if !strings.HasPrefix(name, own) {
		return s.Storage.Lock(ctx, name)
	}
	switch s.defect {
	case LockNothing:
		return nil
	case ReadOnly:
		return ErrDefect
	case LockRefused:
		at, cancel := context.WithCancel(ctx)
		cancel()
		return s.Storage.Lock(at, name)
	case LockForEver:
		for {
			if ctx.Err() == nil && s.Storage.Lock(ctx, name) == nil {
				return nil
			}
			time.Sleep(time.Millisecond) // a server takes as long to refuse
		}
	case LockOfTheDead:
		return s.lockForGood(ctx, name)
	case OneKeySpace:
		if err := s.Storage.Lock(ctx, name); err != nil {
			return err
		}
		return s.Storage.Store(ctx, name, []byte("locked"))
	}
	return s.Storage.Lock(ctx, name)
}

// lockForGood takes a lock that only Unlock releases.
func (s *storage) lockForGood(ctx context.Context, name string) error {
	for {
		if err := os.MkdirAll(filepath.Dir(s.lockFile(name)), 0o700); err != nil {
			return err
		}
		file, err := os.OpenFile(s.lockFile(name), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return file.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lockFile is the file of a lock of lockForGood.
func (s *storage) lockFile(name string) string {
	return filepath.Join(s.root, "held", strings.ReplaceAll(name, "/", "-"))
}

func (s *storage) Unlock(ctx context.Context, name string) error {
	if err := s.begin(ctx, name); err != nil {
		if s.defect == NotFoundWhenGone {
			_ = s.Storage.Unlock(ctx, name) // a server does that by itself when the holder is gone
		}
		return err
	}
	if !strings.HasPrefix(name, own) {
		return s.Storage.Unlock(ctx, name)
	}
	switch s.defect {
	case LockNothing:
		return nil
	case LockOfTheDead:
		return os.Remove(s.lockFile(name))
	case OneKeySpace:
		if err := s.Storage.Delete(ctx, name); err != nil {
			return err
		}
	}
	return s.Storage.Unlock(ctx, name)
}

func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.begin(ctx, key); err != nil {
		return nil, s.notFound(err)
	}
	if !strings.HasPrefix(key, own) {
		return s.Storage.Load(ctx, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, found := s.cache[key]; found && time.Now().Before(c.until) {
		return c.value, nil
	}
	value, err := s.Storage.Load(ctx, key)
	if err != nil {
		return nil, s.notFound(err)
	}
	switch s.defect {
	case Changes:
		value = append(value, '\n')
	case Caches:
		s.cache[key] = cached{value: value, until: time.Now().Add(10 * time.Minute)}
	}
	return value, nil
}

func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if err := s.begin(ctx, key); err != nil {
		return certmagic.KeyInfo{}, s.notFound(err)
	}
	info, err := s.Storage.Stat(ctx, key)
	return info, s.notFound(err)
}

// notFound returns the error that a storage with the defect returns instead of err.
func (s *storage) notFound(err error) error {
	switch {
	case s.defect == OtherNotFound && errors.Is(err, fs.ErrNotExist):
		return errors.New("no such key")
	case s.defect == NotFoundWhenGone && err != nil:
		return fs.ErrNotExist
	}
	return err
}

func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	if !strings.HasPrefix(key, own) {
		return s.Storage.Store(ctx, key, value)
	}
	switch s.defect {
	case ReadOnly:
		return ErrDefect
	case Forgets:
		return nil
	}
	return s.Storage.Store(ctx, key, value)
}

func (s *storage) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	return s.Storage.Delete(ctx, key)
}
