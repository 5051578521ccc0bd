package tokenauth_test

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"sync"
	"time"
)

// A memoryStore is a store that works, except for the faults in its fields.
type memoryStore struct {
	mu      sync.Mutex
	entries map[string][]byte
	locks   map[string]chan struct{}
	loads   int

	loadErr, storeErr, lockErr error
	hang                       bool // operations hang, also after the context has ended
}

func newMemoryStore() *memoryStore {
	return &memoryStore{entries: make(map[string][]byte), locks: make(map[string]chan struct{})}
}

// lock returns the channel that is full while the lock is held.
func (m *memoryStore) lock(name string) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] == nil {
		m.locks[name] = make(chan struct{}, 1)
	}
	return m.locks[name]
}

func (m *memoryStore) Lock(ctx context.Context, name string) error {
	if m.lockErr != nil {
		return m.lockErr
	}
	select {
	case m.lock(name) <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memoryStore) Unlock(_ context.Context, name string) error {
	<-m.lock(name)
	return nil
}

func (m *memoryStore) Size(_ context.Context, key string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loadErr != nil {
		return 0, m.loadErr
	}
	value, ok := m.entries[key]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return int64(len(value)), nil
}

func (m *memoryStore) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	if m.hang {
		m.mu.Unlock()
		time.Sleep(time.Hour) // of the test's clock
		m.mu.Lock()
	}
	if m.loadErr != nil {
		return nil, m.loadErr
	}
	value, ok := m.entries[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(value), nil
}

func (m *memoryStore) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.storeErr != nil {
		return m.storeErr
	}
	m.entries[key] = bytes.Clone(value)
	return nil
}

// stored returns all entries.
func (m *memoryStore) stored() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.entries)
}

// lockedStore is a store with a lock that a dead process may hold.
type lockedStore struct {
	*memoryStore
	dead bool
}

func (s *lockedStore) Lock(ctx context.Context, name string) error {
	if s.dead {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.memoryStore.Lock(ctx, name)
}
