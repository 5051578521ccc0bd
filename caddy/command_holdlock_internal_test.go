package caddyesign

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A process that is killed leaves its lock behind. A process that only loses its parent
// releases the lock.
func TestLockHolder(t *testing.T) {
	dir := t.TempDir()
	raw, err := json.Marshal(map[string]string{"module": "file_system", "root": dir})
	if err != nil {
		t.Fatal(err)
	}
	locks := func() []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "locks", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	kill, err := lockHolder(raw)(t.Context(), "a/lock")
	if err != nil {
		t.Fatal(err)
	}
	if len(locks()) != 1 {
		t.Errorf("the locks are %v", locks())
	}
	kill()
	kill() // the caller does this in any case
	if len(locks()) != 1 {
		t.Errorf("after its end, the locks are %v", locks())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	held := false
	if err := holdLock(t.Context(), lockHolding{raw, "a/lock"}, func() error { held = len(locks()) == 1; return nil }); err != nil || !held || len(locks()) != 0 {
		t.Errorf("it holds the lock: %t, %v, and leaves %v", held, err, locks())
	}
}

// The error says why there is no lock, without secrets.
func TestLockHolderThatCannotLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{"module": "file_system", "root": file + "/password=hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockHolder(raw)(t.Context(), "a/lock")
	if err == nil || !strings.Contains(err.Error(), "not a directory") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}
