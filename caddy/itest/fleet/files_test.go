package fleet

import (
	"os"
	"path/filepath"
	"testing"
)

// Files are a directory, as a storage.
type files struct {
	t   *testing.T
	dir string
}

// newFiles returns a directory for a fleet.
func newFiles(f *fleet) *files {
	return &files{t: f.t, dir: filepath.Join(f.dir, "storage")}
}

// option is the global option for it.
func (s *files) option() string { return "storage file_system " + s.dir }

// stop replaces the directory by a file, so that nothing in it can be reached.
func (s *files) stop() {
	s.t.Helper()
	if err := os.Rename(s.dir, s.dir+"-away"); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.dir, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start puts the directory back.
func (s *files) start() {
	s.t.Helper()
	if err := os.Remove(s.dir); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.dir+"-away", s.dir); err != nil {
		s.t.Fatal(err)
	}
}

// empty deletes all entries.
func (s *files) empty() {
	s.t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
}
