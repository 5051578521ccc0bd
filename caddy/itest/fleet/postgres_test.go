package fleet

import (
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/caddy/itest/internal/postgresql"
)

// A postgres is a server of PostgreSQL.
type postgres struct{ *postgresql.Server }

// newPostgres starts a server for a fleet.
func newPostgres(f *fleet) postgres {
	f.t.Helper()
	return postgres{postgresql.New(f.t, f.host(), ports.Free(f.t, f.host()))}
}

// option is the global option for it.
func (p postgres) option() string { return p.Option() }

// start starts the server with its earlier entries.
func (p postgres) start() { p.Start() }

// stop ends the server at once.
func (p postgres) stop() { p.Stop() }

// empty deletes all entries.
func (p postgres) empty() { p.Empty() }
