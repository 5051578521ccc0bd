package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"
)

// openLimit is how long it may take to load a storage, which may need its server.
const openLimit = 30 * time.Second

// errSecondInstance is the error if the storage could be loaded once, but not twice.
var errSecondInstance = errors.New("a second instance cannot be loaded")

// openedStorages are instances of one storage.
type openedStorages struct {
	instances []sharedStorage
	cancel    context.CancelFunc
	absent    []string // directories that did not exist
}

// openStorages loads n instances of a storage. It returns when they are loaded, or when
// its time limit or ctx is over: a module may wait for a server, or panic.
func openStorages(ctx context.Context, raw json.RawMessage, n int) (*openedStorages, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	type result struct {
		opened *openedStorages
		err    error
	}
	done := make(chan result, 1)
	go func() {
		res := result{err: errors.New("the storage panicked while it was loaded")}
		defer func() {
			_ = recover() // a panic would end the process before anything is printed
			done <- res
		}()
		res.opened, res.err = loadStorages(raw, n)
	}()
	select {
	case res := <-done:
		return res.opened, res.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the storage is not loaded after %v", openLimit)
	}
}

// loadStorages loads n instances of a storage.
func loadStorages(raw json.RawMessage, n int) (opened *openedStorages, err error) {
	// The storage's log is not for this process, and may contain secrets. What matters
	// is returned as an error.
	outer, err := caddy.ProvisionContext(&caddy.Config{Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "FATAL"}},
	}}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(outer)
	opened = &openedStorages{cancel: cancel}
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	for i := range n {
		storage, err := loadStorage(ctx, raw)
		if err != nil && i > 0 {
			err = fmt.Errorf("%w: %w", errSecondInstance, err)
		}
		if err != nil {
			return nil, err
		}
		opened.instances = append(opened.instances, sharedStorage{storage})
	}
	// The user that runs a check may differ from the user that runs the gateway, who
	// could not use directories that the first one has made.
	if files, ok := opened.instances[0].Storage.(interface{ Filename(key string) string }); ok {
		for _, key := range []string{"locks", ""} {
			if _, err := os.Stat(files.Filename(key)); os.IsNotExist(err) {
				opened.absent = append(opened.absent, files.Filename(key))
			}
		}
	}
	return opened, nil
}

// loadStorage loads one instance of the storage that raw configures; nil means Caddy's
// default.
func loadStorage(ctx caddy.Context, raw json.RawMessage) (certmagic.Storage, error) {
	if raw == nil {
		return ctx.Storage(), nil
	}
	mod, err := ctx.LoadModule(&struct {
		Raw json.RawMessage `caddy:"namespace=caddy.storage inline_key=module"`
	}{raw}, "Raw")
	if err != nil {
		return nil, err
	}
	converter, ok := mod.(caddy.StorageConverter)
	if !ok {
		return nil, fmt.Errorf("module %T is not a storage", mod)
	}
	return converter.CertMagicStorage()
}

// close releases the instances, or gives up after a time limit. Then it removes the
// directories that the check has made, if they are empty.
func (o *openedStorages) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer func() { _ = recover() }() // what was found must still be printed
		o.cancel()
	}()
	select {
	case <-closed:
	case <-time.After(openLimit):
	}
	for _, directory := range o.absent {
		_ = os.Remove(directory)
	}
}
