#!/usr/bin/env bash
# List of a PostgreSQL storage for Caddy takes "_" in a path for any letter, and "recursive" the wrong way round.
#
# Software:  github.com/travisjeffery/certmagic-sqlstorage v1.1.1, with certmagic v0.25.6 (of Caddy v2.11.9),
#            github.com/jackc/pgx/v5 v5.11.0 and PostgreSQL 15 of Debian 12.
# Behaviour: List of "my_app" has the keys of "my-app" too, and those of "my_app2". The path goes into the
#            pattern of a LIKE, where "_" stands for any character, and is not taken to end with the
#            directory's name. With recursive, List is an error: "recursive not supported". Without, it
#            returns the keys of all depths, and no directory. The file storage returns what is in the one
#            directory, and goes down into others if recursive.
# Surprise:  certmagic.Storage says "List returns all keys in the given path", and with recursive that
#            '"directories" should be walked'. Who deletes what List returns deletes the values of another
#            program, whose name differs in one character. Module names of Caddy, and so the directories of
#            its plugins, have an underscore between words.
# Needs:     bash, Go; Debian 12's postgresql-15.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
as=()
[[ $(id -u) != 0 ]] || as=(runuser -u postgres --)
trap '"${as[@]}" /usr/lib/postgresql/15/bin/pg_ctl -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
mkdir data socket
[[ $(id -u) != 0 ]] || { chmod 755 "$dir"; chown postgres data socket; }
"${as[@]}" /usr/lib/postgresql/15/bin/initdb -D "$dir/data" -U finding --auth=trust --no-sync >/dev/null
"${as[@]}" /usr/lib/postgresql/15/bin/pg_ctl -D "$dir/data" -w -l "$dir/data/log" -o "-k $dir/socket -c listen_addresses='' -c fsync=off" start >/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/caddyserver/certmagic"
	_ "github.com/jackc/pgx/v5/stdlib"
	certmagicsql "github.com/travisjeffery/certmagic-sqlstorage"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "host="+os.Args[1]+" user=finding dbname=postgres")
	must(err)
	inPostgres, err := certmagicsql.NewStorage(ctx, db, certmagicsql.Options{})
	must(err)
	for _, one := range []struct {
		name    string
		storage certmagic.Storage
	}{
		{"file storage", &certmagic.FileStorage{Path: "files"}},
		{"PostgreSQL", inPostgres},
	} {
		for _, key := range []string{"my-app/a", "my_app/a", "my_app/b/c", "my_app2/a"} {
			must(one.storage.Store(ctx, key, []byte("value")))
		}
		for _, recursive := range []bool{false, true} {
			keys, err := one.storage.List(ctx, "my_app", recursive)
			fmt.Printf("%s, List of my_app, recursive %t: %q %v\n", one.name, recursive, keys, err)
		}
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/caddyserver/certmagic@v0.25.6 github.com/jackc/pgx/v5@v5.11.0 github.com/travisjeffery/certmagic-sqlstorage@v1.1.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
want='file storage, List of my_app, recursive false: ["my_app/a" "my_app/b"] <nil>
file storage, List of my_app, recursive true: ["my_app/a" "my_app/b" "my_app/b/c"] <nil>
PostgreSQL, List of my_app, recursive false: ["my-app/a" "my_app/a" "my_app/b/c" "my_app2/a"] <nil>
PostgreSQL, List of my_app, recursive true: [] recursive not supported'
got=$(go run . "$dir/socket")
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
