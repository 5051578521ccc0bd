package tokenauth

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// An UnprocessedError says that a call was not carried out, although it was sent:
// the server promises that by a GOAWAY frame which does not cover the stream, or
// by the error code REFUSED_STREAM (RFC 9113 sections 6.8 and 8.7); or nothing of
// the call was written.
type UnprocessedError struct{}

// Error implements error.
func (*UnprocessedError) Error() string { return "the server did not process the call" }

// errRepeated is why an attempt ended that Base wanted to repeat, without a
// promise of the server. It wraps io.EOF, since the connection or stream ended.
var errRepeated = &repeatedError{}

// repeatedError is the type of errRepeated.
type repeatedError struct{}

// Error implements error.
func (*repeatedError) Error() string {
	return "the stream or connection ended before a response came; the call may have been carried out"
}

// Unwrap returns the error that it is classified by.
func (*repeatedError) Unwrap() error { return io.EOF }

// unprocessedTexts are how golang.org/x/net/http2 v0.60.0 and net/http of Go 1.26
// say, in errors that have no type which can be asked for, that the server promises
// not to have processed a request: of the first stream of a connection (setGoAway),
// and of requests that they have sent again in vain.
var unprocessedTexts = []struct{ prefix, suffix string }{
	{"http2: Transport received GOAWAY from server ErrCode:", ""},
	{"http2: Transport received Server's graceful shutdown GOAWAY", ""},
	{"stream error: stream ID ", "; REFUSED_STREAM; received from peer"},
}

// asUnprocessed returns an *UnprocessedError for an error of Base that says as much,
// and err otherwise.
func asUnprocessed(err error) error {
	text := err.Error()
	for _, known := range unprocessedTexts {
		if strings.HasPrefix(text, known.prefix) && strings.HasSuffix(text, known.suffix) {
			return new(UnprocessedError)
		}
	}
	return err
}

// Bounds of sending again what was not processed. A host that takes one call at a
// time on a connection, and says so too late, refuses more than once.
const (
	maxUnprocessed = 10
	firstPause     = 20 * time.Millisecond
	maxPause       = time.Second
)

// isUnprocessed reports whether err says that the call was not processed.
func isUnprocessed(err error) bool {
	_, ok := errors.AsType[*UnprocessedError](err)
	return ok
}

// pause waits before a call that was not processed is sent again for the nth time,
// counted from 0, and reports false if the context ends before that. The first one
// does not wait.
func pause(ctx context.Context, n int) bool {
	if n == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(rand.N(min(firstPause<<n, maxPause))) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
