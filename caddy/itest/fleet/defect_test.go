package fleet

import (
	"os"
	"path/filepath"
)

// A defect is a storage with a defect of package defective.
type defect struct {
	files
	name string
}

// newDefect returns a storage for a fleet.
func newDefect(f *fleet, name string) *defect {
	return &defect{files: *newFiles(f), name: name}
}

// option is the global option for it.
func (s *defect) option() string { return "storage defective " + s.dir + " " + s.name }

// stop stops the server, if the defect has a server.
func (s *defect) stop() {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "gone"), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start brings the server back.
func (s *defect) start() {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "gone")); err != nil {
		s.t.Fatal(err)
	}
}
