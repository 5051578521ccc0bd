package fleet

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

// A postgres is a server of PostgreSQL.
type postgres struct {
	t          *testing.T
	dir        string
	host, port string
	credential *syscall.Credential // it refuses to run as root
	db         *sql.DB
	process    *exec.Cmd
}

// newPostgres starts a server for a fleet.
func newPostgres(f *fleet) *postgres {
	f.t.Helper()
	p := &postgres{t: f.t, host: f.host(), port: freePort(f.t, f.host())}
	account, err := user.Lookup("postgres")
	if err != nil {
		f.t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	// The test's directory belongs to root, so this is another.
	if p.dir, err = os.MkdirTemp("", "fleet-postgres"); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
		f.t.Fatal(err)
	}
	initdb := p.command("initdb", "--auth=trust", "--no-sync", "--username=postgres", "--pgdata="+p.dir)
	if out, err := initdb.CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
	access := []byte("host all postgres 0.0.0.0/0 trust\n")
	if err := os.WriteFile(filepath.Join(p.dir, "pg_hba.conf"), access, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if p.db, err = sql.Open("pgx", p.url()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = p.db.Close() })
	p.start()
	f.t.Cleanup(p.stop)
	// The tables are created here, since some of the gateways that create them at the
	// same time would fail.
	if _, err := certmagicsql.NewStorage(f.t.Context(), p.db, certmagicsql.Options{}); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// command returns a command of PostgreSQL, which is not in Debian's PATH.
func (p *postgres) command(name string, args ...string) *exec.Cmd {
	p.t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		p.t.Fatalf("no PostgreSQL is installed: %v", err)
	}
	cmd := exec.CommandContext(context.Background(), found[len(found)-1], args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// url returns the URL of the database.
func (p *postgres) url() string {
	return fmt.Sprintf("postgres://postgres@%s:%s/postgres?sslmode=disable", p.host, p.port)
}

// option is the global option for it.
func (p *postgres) option() string { return "storage postgres " + p.url() }

// start starts the server with its earlier entries.
func (p *postgres) start() {
	p.t.Helper()
	p.process = p.command("postgres", "-D", p.dir, "-h", p.host, "-p", p.port, "-k", "", "-F")
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for p.db.PingContext(context.Background()) != nil {
		if time.Now().After(deadline) {
			p.t.Fatal("PostgreSQL does not start")
		}
	}
}

// stop ends the server at once.
func (p *postgres) stop() {
	p.t.Helper()
	if p.process == nil {
		return
	}
	if err := p.process.Process.Signal(syscall.SIGQUIT); err != nil {
		p.t.Error(err)
	}
	_ = p.process.Wait() // the error says that it was ended
	p.process = nil
}

// empty deletes all entries.
func (p *postgres) empty() {
	p.t.Helper()
	if _, err := p.db.ExecContext(p.t.Context(), "truncate certmagic_data, certmagic_locks"); err != nil {
		p.t.Fatal(err)
	}
}
