#!/usr/bin/env bash
# List of an S3 storage for Caddy returns all keys, and under names that Load does not know.
#
# Software:  github.com/techknowlogick/certmagic-s3 v1.4.1, with Caddy v2.11.9 (certmagic v0.25.6) and
#            github.com/johannesboyne/gofakes3 v1.2.0 as the server.
# Behaviour: List does not look at the prefix that it is asked for, nor at "recursive": it returns
#            every key below the prefix of the storage, certificates and all. If the storage has a
#            prefix, the keys come with it, so that Load of what List returns looks for it twice.
#            Caddy's file storage returns the keys below the prefix, and the directories between.
# Surprise:  certmagic.Storage says "List returns all keys in the given path". A program that deletes
#            what it finds in a path finds the certificates too. If the storage has a prefix, it
#            finds nothing that it knows, deletes nothing, and gets no error.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	s3 "github.com/techknowlogick/certmagic-s3"
)

func main() {
	backend := s3mem.New()
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	bucket := func(name, prefix string) certmagic.Storage {
		if err := backend.CreateBucket(name); err != nil {
			panic(err)
		}
		storage := &s3.S3{Endpoint: server.URL, Bucket: name, Prefix: prefix, Region: "us-east-1", AccessKey: "key", SecretKey: "secret", UsePathStyle: true}
		if err := storage.Provision(ctx); err != nil {
			panic(err)
		}
		return storage
	}
	for _, one := range []struct {
		name    string
		storage certmagic.Storage
	}{
		{"file storage", &certmagic.FileStorage{Path: "files"}},
		{"S3", bucket("one", "")},
		{"S3 with prefix", bucket("two", "caddy")},
	} {
		for _, key := range []string{"certificates/a.crt", "downloads/1/manifest"} {
			if err := one.storage.Store(ctx, key, []byte("value")); err != nil {
				panic(err)
			}
		}
		for _, recursive := range []bool{true, false} {
			keys, err := one.storage.List(ctx, "downloads", recursive)
			fmt.Printf("%s, List of downloads, recursive %t: %q %v\n", one.name, recursive, keys, err)
		}
		keys, _ := one.storage.List(ctx, "downloads", true)
		_, err := one.storage.Load(ctx, keys[len(keys)-1])
		fmt.Printf("%s, Load of the last of them: %v, missing %t\n", one.name, err == nil, errors.Is(err, fs.ErrNotExist))
		keys, err = one.storage.List(ctx, "nothing", true)
		fmt.Printf("%s, List of nothing: %q, missing %t\n", one.name, keys, errors.Is(err, fs.ErrNotExist))
	}
}
GO
want='file storage, List of downloads, recursive true: ["downloads/1" "downloads/1/manifest"] <nil>
file storage, List of downloads, recursive false: ["downloads/1"] <nil>
file storage, Load of the last of them: true, missing false
file storage, List of nothing: [], missing true
S3, List of downloads, recursive true: ["certificates/a.crt" "downloads/1/manifest"] <nil>
S3, List of downloads, recursive false: ["certificates/a.crt" "downloads/1/manifest"] <nil>
S3, Load of the last of them: true, missing false
S3, List of nothing: ["certificates/a.crt" "downloads/1/manifest"], missing false
S3 with prefix, List of downloads, recursive true: ["caddy/certificates/a.crt" "caddy/downloads/1/manifest"] <nil>
S3 with prefix, List of downloads, recursive false: ["caddy/certificates/a.crt" "caddy/downloads/1/manifest"] <nil>
S3 with prefix, Load of the last of them: false, missing true
S3 with prefix, List of nothing: ["caddy/certificates/a.crt" "caddy/downloads/1/manifest"], missing false'
go mod init finding >/dev/null 2>&1
go get github.com/caddyserver/caddy/v2@v2.11.9 github.com/johannesboyne/gofakes3@v1.2.0 github.com/techknowlogick/certmagic-s3@v1.4.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(go run . 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
