// Package postgres makes certmagic-sqlstorage a storage module of Caddy.
package postgres

import (
	"context"
	"database/sql"

	"github.com/caddyserver/certmagic"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	certmagicsql "github.com/travisjeffery/certmagic-sqlstorage"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(Storage{})
}

// A Storage keeps Caddy's entries in PostgreSQL. In a Caddyfile:
//
//	storage postgres <url>
type Storage struct {
	// The database, as postgres://user@host:port/name.
	URL string `json:"url"`

	db *sql.DB
}

// CaddyModule returns the module's information.
func (Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.postgres", New: func() caddy.Module { return new(Storage) }}
}

// UnmarshalCaddyfile reads the directive.
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&s.URL) {
		return d.ArgErr()
	}
	return nil
}

// Provision opens the database.
func (s *Storage) Provision(caddy.Context) (err error) {
	s.db, err = sql.Open("pgx", s.URL)
	return err
}

// Cleanup closes the database.
func (s *Storage) Cleanup() error {
	return s.db.Close()
}

// CertMagicStorage returns the storage, and creates its tables.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) {
	return certmagicsql.NewStorage(context.Background(), s.db, certmagicsql.Options{})
}
