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

// A response is a provider's HTTP response with its whole body.
type response struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends req to the provider and reads the response. The body of a 200 may be at
// most limit bytes long. Redirects are not followed: credentials would go to a host that
// nobody configured, or the response would come from there.
func exchange(client *http.Client, req *http.Request, op string, limit int64) (*response, error) {
	direct := *client
	direct.CheckRedirect = noRedirect
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
	// An error response counts, even if its page is longer.
	if int64(len(body)) > limit && res.StatusCode == http.StatusOK {
		return nil, &Error{Op: op, Cause: CauseUnusable, Status: res.StatusCode, Err: fmt.Errorf("%w than %d bytes", errLong, limit)}
	}
	return &response{res.StatusCode, res.Header, body}, nil
}

// errLong is the error for a response that is too long. The message goes on with the limit.
var errLong = errors.New("the response is longer")

// failure makes an Error from a response that is not a success. code is the error code in
// it, if any. A 404 does not count as a refusal, even with a code: that is the response of
// Keycloak, in JSON, if there is no such realm.
func (r *response) failure(op, code string) *Error {
	e := &Error{Op: op, Status: r.status, Code: knownCode(code)}
	switch {
	case noEndpoint(r.status):
		e.Cause = CauseUnusable
	case r.status == http.StatusTooManyRequests, r.status >= 500,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		e.Cause = CauseUnavailable
		e.retryAfter = retryAfter(r.header, time.Now())
	case r.status >= 300 && r.status < 400:
		e.Cause = CauseUnusable
		e.Err = errors.New("redirects are not followed")
	case code != "", r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		e.Cause = CauseRefused
	default:
		e.Cause = CauseUnusable
	}
	return e
}

// noEndpoint reports whether status says that there is no such endpoint.
func noEndpoint(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone
}

// maxRetryAfter is the longest time that a provider can ask for by Retry-After.
const maxRetryAfter = time.Hour

// retryAfter returns the time in Retry-After (RFC 9110 section 10.2.3), or 0 if there is
// none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	wait, ok := deltaSeconds(value)
	if at, err := http.ParseTime(value); !ok && err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// deltaSeconds reads a number of seconds. A number that is too large counts as the
// largest possible (RFC 9111 section 1.2.2).
func deltaSeconds(value string) (d time.Duration, ok bool) {
	seconds, err := strconv.ParseUint(value, 10, 31)
	return time.Duration(seconds) * time.Second, err == nil || errors.Is(err, strconv.ErrRange)
}
