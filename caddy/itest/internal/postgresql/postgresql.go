// Package postgresql runs servers of PostgreSQL for tests.
package postgresql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	certmagicsql "github.com/travisjeffery/certmagic-sqlstorage"
)

// A Server is a server with the tables of certmagic-sqlstorage.
type Server struct {
	t          *testing.T
	dir        string
	host, port string
	credential *syscall.Credential // it refuses to run as root
	db         *sql.DB
	process    *exec.Cmd
}

// New starts a server until the end of the test.
func New(t *testing.T, host, port string) *Server {
	t.Helper()
	s := &Server{t: t, host: host, port: port}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	// The test's directory belongs to root, so this is another.
	if s.dir, err = os.MkdirTemp("", "postgresql"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	initdb := s.command("initdb", "--auth=trust", "--no-sync", "--username=postgres", "--pgdata="+s.dir)
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	access := []byte("host all postgres 0.0.0.0/0 trust\n")
	if err := os.WriteFile(filepath.Join(s.dir, "pg_hba.conf"), access, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.db, err = sql.Open("pgx", s.url()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	s.Start()
	t.Cleanup(s.Stop)
	// The tables are created here, since some of the gateways that create them at the
	// same time would fail.
	if _, err := certmagicsql.NewStorage(t.Context(), s.db, certmagicsql.Options{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// command returns a command of PostgreSQL, which is not in Debian's PATH.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		s.t.Fatalf("no PostgreSQL is installed: %v", err)
	}
	cmd := exec.CommandContext(context.Background(), found[len(found)-1], args...) //nolint:gosec // a test runs what is installed
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// url returns the URL of the database.
func (s *Server) url() string {
	return fmt.Sprintf("postgres://postgres@%s:%s/postgres?sslmode=disable", s.host, s.port)
}

// Option returns the global option of Caddy for it.
func (s *Server) Option() string { return "storage postgres " + s.url() }

// Start starts the server again, with its earlier entries.
func (s *Server) Start() {
	s.t.Helper()
	s.process = s.command("postgres", "-D", s.dir, "-h", s.host, "-p", s.port, "-k", "", "-F")
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for s.db.PingContext(context.Background()) != nil {
		if time.Now().After(deadline) {
			s.t.Fatal("PostgreSQL does not start")
		}
	}
}

// Stop ends the server at once.
func (s *Server) Stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Signal(syscall.SIGQUIT); err != nil {
		s.t.Error(err)
	}
	_ = s.process.Wait() // the error says that it was ended
	s.process = nil
}

// Empty deletes all entries.
func (s *Server) Empty() {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), "truncate certmagic_data, certmagic_locks"); err != nil {
		s.t.Fatal(err)
	}
}

// Entries returns all entries, by key.
func (s *Server) Entries() map[string][]byte {
	s.t.Helper()
	rows, err := s.db.QueryContext(context.Background(), "select key, value from certmagic_data")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	entries := make(map[string][]byte)
	for rows.Next() {
		var key string
		var value []byte
		if err := rows.Scan(&key, &value); err != nil {
			s.t.Fatal(err)
		}
		entries[key] = value
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return entries
}
