package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Paths of a provider's configuration. An OpenID provider has it below its issuer
// (OpenID Connect Discovery 1.0 section 4). An authorization server without OpenID has it
// between the host and the path of its issuer (RFC 8414 section 3), and some servers have
// it below the issuer.
const (
	wellKnown      = "/.well-known/openid-configuration"
	wellKnownOAuth = "/.well-known/oauth-authorization-server"
)

// Bounds of discovery. A document without Cache-Control is read again after an hour:
// providers rarely change endpoints, and a token request notices if its endpoint has
// vanished.
const (
	maxMetadataSize    = 512 << 10
	defaultMetadataAge = time.Hour
	minMetadataAge     = 5 * time.Minute
	maxMetadataAge     = 24 * time.Hour
	metadataRetry      = time.Minute
)

// A Provider is an OpenID provider, or an authorization server without OpenID. It reads
// the provider's configuration when that is first needed, and keeps it for as long as the
// response's Cache-Control says: between 5 minutes and 24 hours, or one hour by default.
// If the configuration cannot be read again, the last good copy stays in use.
type Provider struct {
	issuer   string
	pinned   bool // the token endpoint is on the issuer's own host
	insecure bool // both may be plain http

	// turn is held by the goroutine that reads the document. It is a channel rather than
	// a mutex, so that a wait for it can end with the context.
	turn    chan struct{}
	current atomic.Pointer[discovered]

	skew atomic.Pointer[measuredSkew] // nil if no response had a time that can be used
}

// discovered is one reading of the document.
type discovered struct {
	metadata *Metadata
	document []byte // as it was read
	at       instant
	staleAt  instant
}

// errNoIssuer is the error for the zero Provider.
var errNoIssuer = errors.New("the provider has no issuer: it was not made by NewProvider")

// A ProviderOption changes what NewProvider returns. AnyTokenHost is one.
type ProviderOption func(*Provider)

// AnyTokenHost is the ProviderOption for a provider whose token endpoint is not on the
// issuer's host. The credentials are sent to the host that the provider's document names.
func AnyTokenHost(p *Provider) { p.pinned = false }

// NewProvider returns the provider with the given issuer identifier, which ParseIssuer
// must accept. The token endpoint must be on the issuer's own host, unless AnyTokenHost is
// among the options.
func NewProvider(issuer string, options ...ProviderOption) (*Provider, error) {
	if _, err := ParseIssuer(issuer); err != nil {
		return nil, fmt.Errorf("issuer %q %w", issuer, err)
	}
	p := &Provider{issuer: issuer, pinned: true, turn: make(chan struct{}, 1)}
	for _, option := range options {
		option(p)
	}
	return p, nil
}

// NewInsecureProvider returns the provider with the given issuer identifier, which
// ParseInsecureIssuer must accept: plain http, also on another machine. It is for
// rehearsals in a network of your own. Everybody in between can read the credentials and
// can pretend to be the provider. The token endpoint must be on the issuer's own host.
func NewInsecureProvider(issuer string) (*Provider, error) {
	if _, err := ParseInsecureIssuer(issuer); err != nil {
		return nil, fmt.Errorf("issuer %q %w", issuer, err)
	}
	return &Provider{issuer: issuer, pinned: true, insecure: true, turn: make(chan struct{}, 1)}, nil
}

// Issuer returns the issuer identifier.
func (p *Provider) Issuer() string { return p.issuer }

// Discovered returns the last good configuration and when it was read. It returns nil if
// there is none yet, and the zero time if another process has read it. The Metadata must
// not be modified.
func (p *Provider) Discovered() (*Metadata, time.Time) {
	d := p.current.Load()
	if d == nil {
		return nil, time.Time{}
	}
	if d.at == (instant{}) {
		return d.metadata, time.Time{} // another process has read it
	}
	return d.metadata, readClocks().wallTime(d.at)
}

// Metadata returns the provider's configuration. If there is no fresh copy, it reads the
// configuration with client; nil is http.DefaultClient. All callers get the same
// Metadata: it must not be modified. The error is an *Error.
func (p *Provider) Metadata(ctx context.Context, client *http.Client) (*Metadata, error) {
	if p.issuer == "" {
		return nil, &Error{Op: opDiscovery, Cause: CauseConfiguration, Err: errNoIssuer}
	}
	if client == nil {
		client = http.DefaultClient
	}
	if d := p.current.Load(); d != nil && !readClocks().reached(d.staleAt) {
		return d.metadata, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, transportError(opDiscovery, ctx.Err())
	}
	last := p.current.Load()
	if last != nil && !readClocks().reached(last.staleAt) {
		return last.metadata, nil // another goroutine has read it meanwhile
	}
	if deadline, ok := ctx.Deadline(); ok && last != nil {
		// There is an old copy. Leave time to use it if the reading fails.
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
		kept.staleAt = readClocks().plus(metadataRetry)
		p.current.Store(&kept)
		return last.metadata, nil
	}
	p.current.Store(next)
	return next.metadata, nil
}

// Outdated tells the provider that the token endpoint of m has vanished, so that the
// document is read again before it is used. If it cannot be read, the copy stays in use.
func (p *Provider) Outdated(m *Metadata) {
	d := p.current.Load()
	if d == nil || d.metadata != m {
		return
	}
	old := *d
	old.staleAt = instant{}
	p.current.CompareAndSwap(d, &old)
}

// opDiscovery is the operation "discovery" in errors.
const opDiscovery = "discovery"

// read reads the document once, from the first location that has one. If no location has
// one, the error is that of the first location.
func (p *Provider) read(ctx context.Context, client *http.Client) (*discovered, error) {
	var first error
	for _, location := range p.locations() {
		d, err := p.readAt(ctx, client, location)
		if err == nil || !absent(err) {
			return d, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// locations returns the URLs where the document may be.
func (p *Provider) locations() []string {
	base := strings.TrimSuffix(p.issuer, "/")
	locations := []string{base + wellKnown}
	if u, err := url.Parse(base); err == nil {
		locations = append(locations, strings.TrimSuffix(base, u.EscapedPath())+wellKnownOAuth+u.EscapedPath())
		if u.Path != "" {
			locations = append(locations, base+wellKnownOAuth)
		}
	}
	return locations
}

// absent reports whether err says that a location has no document: the response is an
// error status, such as 404 or 401, or something else than a document, such as a login
// page.
func absent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status == 0 || e.Cause == CauseUnavailable {
		return false
	}
	return e.Status != http.StatusOK || errors.Is(e.Err, errNoDocument) || errors.Is(e.Err, errLong)
}

// readAt reads the document at location.
func (p *Provider) readAt(ctx context.Context, client *http.Client, location string) (*discovered, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, &Error{Op: opDiscovery, Cause: CauseConfiguration, Err: err}
	}
	req.Header.Set("Accept", "application/json")
	sent := time.Now()
	res, err := exchange(client, req, opDiscovery, maxMetadataSize)
	if err != nil {
		return nil, err
	}
	if res.status != http.StatusOK {
		return nil, res.failure(opDiscovery, "")
	}
	metadata, err := p.parse(res.body)
	if err != nil {
		return nil, &Error{Op: opDiscovery, Cause: CauseUnusable, Status: res.status, Err: err}
	}
	p.measure(res.header, sent) // only now it is known to be the provider's response
	now := readClocks()
	return &discovered{metadata: metadata, document: res.body, at: now, staleAt: now.plus(metadataAge(res.header))}, nil
}

// adopt takes over a document that another process has read, if this process has none.
// After a minute, this process reads the document itself when it needs it.
func (p *Provider) adopt(document []byte) (*Metadata, error) {
	metadata, err := p.parse(document)
	if err != nil {
		return nil, err
	}
	p.current.CompareAndSwap(nil, &discovered{metadata: metadata, document: document, staleAt: readClocks().plus(metadataRetry)})
	return metadata, nil
}

// document returns the last good document as it was read, nil if there is none yet.
func (p *Provider) document() []byte {
	if d := p.current.Load(); d != nil {
		return d.document
	}
	return nil
}

// metadataAge returns how long a document may be used before it is read again (RFC 9111
// section 5.2.2), between minMetadataAge and maxMetadataAge.
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
