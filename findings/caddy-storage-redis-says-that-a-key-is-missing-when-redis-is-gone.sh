#!/usr/bin/env bash
# A Redis storage for Caddy says that there is no such key when there is no Redis.
#
# Software:  github.com/pberkel/caddy-storage-redis v1.8.1, with Caddy v2.11.9 (certmagic v0.25.6) and
#            github.com/alicebob/miniredis/v2 v2.40.0 as the server.
# Behaviour: Load and Stat of a key that is there return fs.ErrNotExist if the server does not accept
#            connections, if it answers with an error ("LOADING", while it starts), and if the
#            context of the call is over. Exists is false then. List returns another error.
# Surprise:  certmagic.Storage says: "Load returns fs.ErrNotExist if the key does not exist". It means
#            that the value may be made anew. A program that holds something once in the storage, such
#            as a key or a document, believes during a restart of Redis that it never had it.
# Needs:     bash, Go. (Caddy takes some minutes to compile.)
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/alicebob/miniredis/v2 v2.40.0
	github.com/caddyserver/caddy/v2 v2.11.9
	github.com/pberkel/caddy-storage-redis v1.8.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/alicebob/miniredis/v2"
	"github.com/caddyserver/caddy/v2"
	storageredis "github.com/pberkel/caddy-storage-redis"
)

func name(err error) string {
	switch {
	case err == nil:
		return "no error"
	case errors.Is(err, fs.ErrNotExist):
		return "fs.ErrNotExist"
	default:
		return "another error"
	}
}

func main() {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	storage := storageredis.New()
	storage.ClientType = "simple"
	storage.Address = []string{server.Addr()}
	if err := storage.Provision(ctx); err != nil {
		panic(err)
	}
	if err := storage.Store(ctx, "key", []byte("value")); err != nil {
		panic(err)
	}
	show := func(when string, ctx context.Context) {
		_, loadError := storage.Load(ctx, "key")
		_, statError := storage.Stat(ctx, "key")
		_, listError := storage.List(ctx, "", true)
		fmt.Printf("%s: Load %s; Stat %s; Exists %t; List %s\n", when, name(loadError), name(statError), storage.Exists(ctx, "key"), name(listError))
	}
	show("in order", ctx)
	over, end := context.WithCancel(ctx)
	end()
	show("context over", over)
	server.SetError("LOADING Redis is loading the dataset in memory")
	show("server starting", ctx)
	server.SetError("")
	show("in order", ctx)
	server.Close()
	show("server gone", ctx)
}
GO
go mod tidy >/dev/null 2>&1
want="in order: Load no error; Stat no error; Exists true; List no error
context over: Load fs.ErrNotExist; Stat fs.ErrNotExist; Exists false; List another error
server starting: Load fs.ErrNotExist; Stat fs.ErrNotExist; Exists false; List another error
in order: Load no error; Stat no error; Exists true; List no error
server gone: Load fs.ErrNotExist; Stat fs.ErrNotExist; Exists false; List another error"
got=$(go run . 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
