#!/usr/bin/env bash
# For one missing key, two functions of an S3 storage for Caddy give different errors.
#
# Software:  github.com/techknowlogick/certmagic-s3 v1.4.1, with Caddy v2.11.9 and
#            github.com/johannesboyne/gofakes3 v1.2.0 as the server.
# Behaviour: Load of a key that is not there is fs.ErrNotExist, as certmagic.Storage wants it.
#            Stat of the same key is another error: it looks for NoSuchKey, but a HEAD
#            request has no body that could say so, and the SDK's error is NotFound.
# Surprise:  A program that asks Stat first, to see how large a value is, cannot tell a
#            missing key from a storage that does not work.
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
	storage := &s3.S3{Endpoint: server.URL, Bucket: "bucket", Region: "us-east-1", AccessKey: "key", SecretKey: "secret", UsePathStyle: true}
	if err := storage.Provision(ctx); err != nil {
		panic(err)
	}
	_, err := storage.Load(ctx, "missing")
	fmt.Println("Load says fs.ErrNotExist:", errors.Is(err, fs.ErrNotExist))
	_, err = storage.Stat(ctx, "missing")
	fmt.Println("Stat says fs.ErrNotExist:", errors.Is(err, fs.ErrNotExist), "error:", err != nil)
	if err := storage.Store(ctx, "there", []byte("value")); err != nil {
		panic(err)
	}
	info, err := storage.Stat(ctx, "there")
	fmt.Println("Stat of a key that is there:", info.Size, err)
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/caddyserver/caddy/v2@v2.11.9 github.com/johannesboyne/gofakes3@v1.2.0 github.com/techknowlogick/certmagic-s3@v1.4.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(go run . 2>/dev/null)
want="Load says fs.ErrNotExist: true
Stat says fs.ErrNotExist: false error: true
Stat of a key that is there: 5 <nil>"
echo "$got"
if [[ $got != "$want" ]]; then
	echo "This is not what was seen, which is:" >&2
	echo "$want" >&2
	exit 1
fi
