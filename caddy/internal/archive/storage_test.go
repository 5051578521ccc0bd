package archive_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// A memory is a storage in memory.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	before func(ctx context.Context, operation, key string) error // called before each operation, if not nil
	flat   bool                                                   // whether it refuses to list recursively, and lists everything otherwise
	unable bool                                                   // whether it cannot list
	listed string                                                 // stands before the keys that it lists
}

func (m *memory) begin(ctx context.Context, operation, key string) error {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before != nil {
		if err := before(ctx, operation, key); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// do sets the function that is called before each operation.
func (m *memory) do(before func(ctx context.Context, operation, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *memory) Store(ctx context.Context, key string, value []byte) error {
	if err := m.begin(ctx, "store", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = slices.Clone(value)
	return nil
}

func (m *memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := m.begin(ctx, "load", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(value), nil
}

func (m *memory) Delete(ctx context.Context, key string) error {
	if err := m.begin(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

func (m *memory) Exists(ctx context.Context, key string) bool {
	if m.begin(ctx, "exists", key) != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.values[key]
	return ok
}

func (m *memory) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if err := m.begin(ctx, "list", path); err != nil {
		return nil, err
	}
	if m.unable || m.flat && recursive {
		return nil, fs.ErrInvalid
	}
	keys := m.keys(path)
	for i := range keys {
		keys[i] = m.listed + keys[i]
	}
	return keys, nil
}

// keys returns the keys below a path.
func (m *memory) keys(path string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.values {
		if strings.HasPrefix(key, path+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
