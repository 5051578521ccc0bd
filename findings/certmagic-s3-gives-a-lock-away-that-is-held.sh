#!/usr/bin/env bash
# A lock of an S3 storage for Caddy belongs to somebody else after 15 seconds, and then to nobody.
#
# Software:  github.com/techknowlogick/certmagic-s3 v1.4.1, with Caddy v2.11.9 (certmagic v0.25.6) and
#            github.com/johannesboyne/gofakes3 v1.2.0 as the server.
# Behaviour: One holds a lock, lives, and has not unlocked it. Another asks for it, and has it 15 seconds
#            after the first got it, without an error. The holder renews nothing. When the first one calls
#            Unlock, that is no error either, and deletes the lock of the second: a third has it at once.
# Surprise:  certmagic.Locker says "Only one lock for the given name can exist at a time", and that a lock
#            may be taken over when it is stale. The file storage renews a lock while its holder lives.
#            Here, age alone makes it stale. To obtain a certificate may well take longer than 15 seconds,
#            so two do it at the same time, and neither knows.
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
	github.com/caddyserver/caddy/v2 v2.11.9
	github.com/johannesboyne/gofakes3 v1.2.0
	github.com/techknowlogick/certmagic-s3 v1.4.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	s3 "github.com/techknowlogick/certmagic-s3"
)

func main() {
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		panic(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	open := func() *s3.S3 {
		storage := &s3.S3{Endpoint: server.URL, Bucket: "bucket", Region: "us-east-1", AccessKey: "key", SecretKey: "secret", UsePathStyle: true}
		if err := storage.Provision(ctx); err != nil {
			panic(err)
		}
		return storage
	}
	first, second, third := open(), open(), open()
	start := time.Now()
	fmt.Println("first, Lock:", first.Lock(ctx, "name"))
	fmt.Println("second, Lock:", second.Lock(ctx, "name"))
	fmt.Println("after some 15 seconds:", time.Since(start) > 12*time.Second && time.Since(start) < 25*time.Second)
	fmt.Println("first, Unlock:", first.Unlock(ctx, "name"))
	start = time.Now()
	fmt.Println("third, Lock:", third.Lock(ctx, "name"))
	fmt.Println("at once:", time.Since(start) < 5*time.Second)
}
GO
go mod tidy >/dev/null 2>&1
want="first, Lock: <nil>
second, Lock: <nil>
after some 15 seconds: true
first, Unlock: <nil>
third, Lock: <nil>
at once: true"
got=$(go run . 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
