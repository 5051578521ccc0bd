package tokenauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An answer is what a provider answered, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends req to the provider and reads the answer, which may be limit
// bytes long at most. Redirects are not followed: they would carry credentials
// to, or take an answer from, a host that nobody configured.
func exchange(client *http.Client, req *http.Request, op string, limit int64) (*answer, error) {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	direct.Jar = nil
	res, err := direct.Do(req)
	if err != nil {
		return nil, transportError(op, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, transportError(op, err)
	}
	// An error is one, however long the page that explains it.
	if int64(len(body)) > limit && res.StatusCode == http.StatusOK {
		return nil, &Error{Op: op, Cause: CauseUnusable, Status: res.StatusCode, Err: fmt.Errorf("%w than %d bytes", errLong, limit)}
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}

// errLong is what is wrong with an answer that is longer than any of its kind.
var errLong = errors.New("the answer is longer")

// failure makes an Error of an answer that is not a success, and in which the
// provider gave code as the reason. What is not there refuses nobody: Keycloak says in
// JSON, too, that there is no such realm.
func (a *answer) failure(op, code string) *Error {
	e := &Error{Op: op, Status: a.status, Code: knownCode(code)}
	switch {
	case gone(a.status):
		e.Cause = CauseUnusable
	case a.status == http.StatusTooManyRequests, a.status >= 500,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		e.Cause = CauseUnavailable
		e.retryAfter = retryAfter(a.header, time.Now())
	case a.status >= 300 && a.status < 400:
		e.Cause = CauseUnusable
		e.Err = errors.New("redirects are not followed")
	case code != "", a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		e.Cause = CauseRefused
	default:
		e.Cause = CauseUnusable
	}
	return e
}

// gone reports whether status says that there is nothing to ask.
func gone(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone
}

// maxRetryAfter bounds what a provider can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads Retry-After (RFC 9110 section 10.2.3), 0 if there is none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	wait, ok := deltaSeconds(value)
	if at, err := http.ParseTime(value); !ok && err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// deltaSeconds reads a number of seconds. One that is too large counts as the
// largest there is (RFC 9111 section 1.2.2).
func deltaSeconds(value string) (d time.Duration, ok bool) {
	seconds, err := strconv.ParseUint(value, 10, 31)
	return time.Duration(seconds) * time.Second, err == nil || errors.Is(err, strconv.ErrRange)
}
