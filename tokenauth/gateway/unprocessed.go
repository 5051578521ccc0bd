package gateway

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// An UnprocessedError says that a call was not carried out, although sending it had
// begun. Either the server promises that, by a GOAWAY frame that does not cover the
// stream or by the error code REFUSED_STREAM (RFC 9113 sections 6.8 and 8.7), or nothing
// of the call was written.
type UnprocessedError struct {
	// calm says that the server has ended the connection with an error code. It would
	// do the same again, so the call is not retried.
	calm bool
}

// Error implements error.
func (*UnprocessedError) Error() string { return "the server did not process the call" }

// errRetried is the error if Base wanted to retry an attempt without a promise of the
// server. It wraps io.EOF, since the connection or stream ended.
var errRetried = &retriedError{}

// retriedError is the type of errRetried.
type retriedError struct{}

// Error implements error.
func (*retriedError) Error() string {
	return "the stream or connection ended before a response came; the call may have been carried out"
}

// Unwrap returns io.EOF, by which callers classify the error.
func (*retriedError) Unwrap() error { return io.EOF }

// Texts of errors in golang.org/x/net/http2 v0.60.0 and net/http of Go 1.26. They say
// that the server promises that it has not processed a request. These errors have no
// exported type.
const (
	// A GOAWAY with an error code, for the first stream of a connection (setGoAway).
	goAwayError = "http2: Transport received GOAWAY from server ErrCode:"
	// Any other GOAWAY.
	goAway = "http2: Transport received Server's graceful shutdown GOAWAY"
	// A reset stream.
	streamReset, streamRefused = "stream error: stream ID ", "; REFUSED_STREAM; received from peer"
	// Text around one of the others, if the body cannot be sent again
	// (shouldRetryRequest).
	cannotRetry, cannotRetryEnd = "http2: Transport: cannot retry err [", "] after Request.Body was written; "
)

// asUnprocessed returns an *UnprocessedError if err, an error of Base, has one of these
// texts. Otherwise it returns err.
func asUnprocessed(err error) error {
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, cannotRetry); ok {
		text, _, _ = strings.Cut(rest, cannotRetryEnd)
	}
	switch {
	case strings.HasPrefix(text, goAwayError):
		return &UnprocessedError{calm: true}
	case text == goAway, strings.HasPrefix(text, streamReset) && strings.HasSuffix(text, streamRefused):
		return new(UnprocessedError)
	}
	return err
}

// Bounds of sending a call again that was not processed. A host may refuse a call several
// times, if it takes one call at a time on a connection and announces that too late.
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

// helps reports whether a call that has failed with err may be sent again, and whether
// that may help: the call was not processed, or it is safe.
func helps(err error, safe bool) bool {
	unprocessed, ok := errors.AsType[*UnprocessedError](err)
	return (ok && !unprocessed.calm) || (safe && errors.Is(err, errRetried))
}

// pause waits before a call is sent again. n is the number of retries before this
// one; the first retry does not wait. pause returns false if ctx ends.
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
