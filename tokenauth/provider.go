package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// wellKnown is where a provider's configuration is, below its issuer
// (OpenID Connect Discovery 1.0 section 4).
const wellKnown = "/.well-known/openid-configuration"

// Bounds of discovery. A document without Cache-Control is read again hourly:
// providers change endpoints rarely, and a vanished one is noticed anyway.
const (
	maxMetadataSize    = 512 << 10
	defaultMetadataAge = time.Hour
	minMetadataAge     = 5 * time.Minute
	maxMetadataAge     = 24 * time.Hour
	metadataRetry      = time.Minute
)

// A Provider is an OpenID provider: its configuration is read when it is first
// needed, kept for as long as the answer's Cache-Control says (between 5
// minutes and 24 hours, one hour if it says nothing), and the last good copy is
// used for as long as no newer one can be had.
type Provider struct {
	issuer string
	pinned bool

	// turn is held by the one that reads the document. A channel rather than a
	// mutex, so that waiting for it ends with the waiter's context.
	turn    chan struct{}
	current atomic.Pointer[discovered]
}

// discovered is one reading of the document.
type discovered struct {
	metadata *Metadata
	at       time.Time
	staleAt  time.Time
}

// NewProvider returns the provider with the given issuer identifier. With
// pinned, its token endpoint is accepted only on the issuer's own host.
func NewProvider(issuer string, pinned bool) (*Provider, error) {
	if _, err := ParseIssuer(issuer); err != nil {
		return nil, fmt.Errorf("issuer %q %w", issuer, err)
	}
	return &Provider{issuer: issuer, pinned: pinned, turn: make(chan struct{}, 1)}, nil
}

// Issuer returns the issuer identifier.
func (p *Provider) Issuer() string { return p.issuer }

// Discovered returns the last good document and when it was read, nil if there
// is none yet.
func (p *Provider) Discovered() (*Metadata, time.Time) {
	d := p.current.Load()
	if d == nil {
		return nil, time.Time{}
	}
	return d.metadata, d.at
}

// Metadata returns the provider's configuration, reading it with client if
// there is no copy that is fresh. The error is an *Error.
func (p *Provider) Metadata(ctx context.Context, client *http.Client) (*Metadata, error) {
	if d := p.current.Load(); d != nil && time.Now().Before(d.staleAt) {
		return d.metadata, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, transportError(opDiscovery, ctx.Err())
	}
	last := p.current.Load()
	if last != nil && time.Now().Before(last.staleAt) {
		return last.metadata, nil // somebody else read it meanwhile
	}
	if deadline, ok := ctx.Deadline(); ok && last != nil {
		// There is a copy to go on with. Leave time to do so.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	next, err := p.read(ctx, client)
	if err != nil {
		if last == nil {
			return nil, err
		}
		kept := *last
		kept.staleAt = time.Now().Add(metadataRetry)
		p.current.Store(&kept)
		return last.metadata, nil
	}
	p.current.Store(next)
	return next.metadata, nil
}

// Outdated tells the provider that the endpoint of m is gone, so that the
// document is read again before it is used. The copy is kept in case it cannot.
func (p *Provider) Outdated(m *Metadata) {
	d := p.current.Load()
	if d == nil || d.metadata != m {
		return
	}
	old := *d
	old.staleAt = time.Time{}
	p.current.CompareAndSwap(d, &old)
}

// opDiscovery names the operation in errors.
const opDiscovery = "discovery"

// read reads the document once.
func (p *Provider) read(ctx context.Context, client *http.Client) (*discovered, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.issuer, "/")+wellKnown, nil)
	if err != nil {
		return nil, &Error{Op: opDiscovery, Cause: CauseConfiguration, Err: err}
	}
	req.Header.Set("Accept", "application/json")
	res, body, err := roundTrip(client, req, opDiscovery, maxMetadataSize)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, statusError(opDiscovery, res, "")
	}
	metadata, err := parseMetadata(body, p.issuer, p.pinned)
	if err != nil {
		return nil, &Error{Op: opDiscovery, Cause: CauseUnusable, Status: res.StatusCode, Err: err}
	}
	now := time.Now()
	return &discovered{metadata: metadata, at: now, staleAt: now.Add(metadataAge(res.Header))}, nil
}

// metadataAge returns for how long a document may be used without asking again
// (RFC 9111 section 5.2.2), within bounds.
func metadataAge(header http.Header) time.Duration {
	age := defaultMetadataAge
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minMetadataAge
		case "max-age":
			if given, ok := deltaSeconds(strings.Trim(value, `"`)); ok {
				age = given
			}
		}
	}
	return min(max(age, minMetadataAge), maxMetadataAge)
}

// roundTrip sends req to the provider and reads the answer, which may be limit
// bytes long at most. Redirects are not followed: they would carry credentials
// to, or take an answer from, a host that nobody configured.
func roundTrip(client *http.Client, req *http.Request, op string, limit int64) (*http.Response, []byte, error) {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	direct.Jar = nil
	res, err := direct.Do(req)
	if err != nil {
		return nil, nil, transportError(op, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, nil, transportError(op, err)
	}
	// An error is one, however long the page that explains it.
	if int64(len(body)) > limit && res.StatusCode == http.StatusOK {
		return nil, nil, &Error{Op: op, Cause: CauseUnusable, Status: res.StatusCode, Err: fmt.Errorf("the answer is longer than %d bytes", limit)}
	}
	return res, body, nil
}

// statusError makes an Error of an answer that is not a success.
func statusError(op string, res *http.Response, code string) *Error {
	e := &Error{Op: op, Status: res.StatusCode, Code: knownCode(code)}
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		e.Cause = CauseUnavailable
		e.retryAfter = retryAfter(res.Header, time.Now())
	case code != "", res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		e.Cause = CauseRefused
	case res.StatusCode >= 300 && res.StatusCode < 400:
		e.Cause = CauseUnusable
		e.Err = errors.New("redirects are not followed")
	default:
		e.Cause = CauseUnusable
	}
	return e
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
