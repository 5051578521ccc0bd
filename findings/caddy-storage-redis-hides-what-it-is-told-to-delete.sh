#!/usr/bin/env bash
# A Redis storage for Caddy, told to delete a directory, takes it out of its lists, and keeps the values.
#
# Software:  github.com/pberkel/caddy-storage-redis v1.8.1, github.com/techknowlogick/certmagic-s3 v1.4.1 and
#            Caddy's file storage, with Caddy v2.11.9 (certmagic v0.25.6); github.com/alicebob/miniredis/v2
#            v2.40.0 and github.com/johannesboyne/gofakes3 v1.2.0 as the servers.
# Behaviour: Two values are below the directory "secrets". Delete of "secrets" returns no error with any of
#            the three. The file storage has deleted both. With Redis, List of "secrets" is empty, Exists is
#            false, and both values are there: Load returns them. List of all, recursive, does not have
#            them, and has "secrets" still if it is not recursive. With S3, nothing is deleted, and one
#            sees it.
# Surprise:  certmagic.Storage: "If the name is a directory (i.e. prefix of other keys), all keys prefixed by
#            this key should be deleted", and an error is due "if the key still exists". Delete of Redis
#            removes the key of that name, which is the index of the directory. Who deletes private keys or
#            documents that way, and looks whether they are gone, sees that they are, and nothing finds
#            them by List any more to delete them.
# Needs:     bash, Go.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	redis "github.com/pberkel/caddy-storage-redis"
	s3 "github.com/techknowlogick/certmagic-s3"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()

	redisServer, err := miniredis.Run()
	must(err)
	defer redisServer.Close()
	inRedis := redis.New()
	inRedis.Address = []string{redisServer.Addr()}
	must(inRedis.Provision(ctx))

	backend := s3mem.New()
	must(backend.CreateBucket("bucket"))
	s3Server := httptest.NewServer(gofakes3.New(backend).Server())
	defer s3Server.Close()
	inS3 := &s3.S3{Endpoint: s3Server.URL, Bucket: "bucket", Region: "us-east-1", AccessKey: "key", SecretKey: "secret", UsePathStyle: true}
	must(inS3.Provision(ctx))

	for _, one := range []struct {
		name    string
		storage certmagic.Storage
	}{
		{"file storage", &certmagic.FileStorage{Path: "files"}},
		{"Redis", inRedis},
		{"S3", inS3},
	} {
		for _, key := range []string{"others/a", "secrets/a", "secrets/b/c"} {
			must(one.storage.Store(ctx, key, []byte("value of "+key)))
		}
		fmt.Printf("%s, Delete: %v\n", one.name, one.storage.Delete(ctx, "secrets"))
		keys, _ := one.storage.List(ctx, "secrets", true)
		fmt.Printf("%s, List of secrets: %q, Exists: %t\n", one.name, keys, one.storage.Exists(ctx, "secrets"))
		for _, recursive := range []bool{false, true} {
			keys, _ = one.storage.List(ctx, "", recursive)
			fmt.Printf("%s, List of all, recursive %t: %q\n", one.name, recursive, keys)
		}
		for _, key := range []string{"secrets/a", "secrets/b/c"} {
			value, _ := one.storage.Load(ctx, key)
			fmt.Printf("%s, Load of %s: %q\n", one.name, key, value)
		}
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/caddyserver/caddy/v2@v2.11.9 github.com/alicebob/miniredis/v2@v2.40.0 github.com/johannesboyne/gofakes3@v1.2.0 github.com/pberkel/caddy-storage-redis@v1.8.1 github.com/techknowlogick/certmagic-s3@v1.4.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
want='file storage, Delete: <nil>
file storage, List of secrets: [], Exists: false
file storage, List of all, recursive false: ["others"]
file storage, List of all, recursive true: ["others" "others/a"]
file storage, Load of secrets/a: ""
file storage, Load of secrets/b/c: ""
Redis, Delete: <nil>
Redis, List of secrets: [], Exists: false
Redis, List of all, recursive false: ["others" "secrets"]
Redis, List of all, recursive true: ["others/a"]
Redis, Load of secrets/a: "value of secrets/a"
Redis, Load of secrets/b/c: "value of secrets/b/c"
S3, Delete: <nil>
S3, List of secrets: ["others/a" "secrets/a" "secrets/b/c"], Exists: false
S3, List of all, recursive false: ["others/a" "secrets/a" "secrets/b/c"]
S3, List of all, recursive true: ["others/a" "secrets/a" "secrets/b/c"]
S3, Load of secrets/a: "value of secrets/a"
S3, Load of secrets/b/c: "value of secrets/b/c"'
got=$(go run . 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
