#!/usr/bin/env bash
# List of Caddy's file storage fails if another key is written or deleted meanwhile.
#
# Software:  github.com/caddyserver/certmagic v0.25.6, of Caddy v2.11.9.
# Behaviour: List walks the directory, and ends with the first error. A file that is in a
#            directory's list of names, and is gone when the walk comes to it, is such an error:
#            "no such file or directory". Store makes a temporary file next to the key and renames
#            it, so not only Delete makes files go: replacing the value of a key does too. List
#            returns the keys before that, and the error.
# Surprise:  The error is fs.ErrNotExist, as if the listed path did not exist: a program that
#            takes that for an empty storage sees nothing of a full one, and that under load only.
#            Of a thousand calls beside one goroutine that replaces one value, 22 failed.
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
	"sync"

	"github.com/caddyserver/certmagic"
)

func main() {
	ctx := context.Background()
	storage := &certmagic.FileStorage{Path: "files"}
	for i := range 100 {
		if err := storage.Store(ctx, fmt.Sprintf("path/%d", i), []byte("value")); err != nil {
			panic(err)
		}
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := storage.Store(ctx, "path/50", []byte("another value")); err != nil {
				panic(err)
			}
		}
	})
	failed, missing := 0, 0
	for range 1000 {
		if _, err := storage.List(ctx, "path", true); err != nil {
			failed++
			if errors.Is(err, fs.ErrNotExist) {
				missing++
			}
		}
	}
	close(stop)
	writer.Wait()
	fmt.Println("List fails at times:", failed > 0)
	fmt.Println("each time with fs.ErrNotExist:", failed == missing)
}
GO
want='List fails at times: true
each time with fs.ErrNotExist: true'
go mod init finding >/dev/null 2>&1
go get github.com/caddyserver/certmagic@v0.25.6 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
