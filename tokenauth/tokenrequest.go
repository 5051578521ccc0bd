package tokenauth

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of a token response.
const (
	maxTokenResponse = 1 << 20
	// assumedLifetime is the lifetime of a token if the response does not give one. It
	// is the lifetime that BankID documents
	// (…/bankid-oidc-provider/core-concepts/session-handling).
	assumedLifetime = 5 * time.Minute
	maxLifetime     = 24 * time.Hour
	// maxGiven is the longest lifetime that is shown, if one of more than maxLifetime
	// was given.
	maxGiven = 100 * 365 * 24 * time.Hour
)

// opToken is the operation "token request" in errors.
const opToken = "token request"

// tokenResponse is a successful response of the token endpoint (RFC 6749 section
// 5.1).
type tokenResponse struct {
	accessToken Secret
	lifetime    time.Duration // at most maxLifetime; may be zero or negative
	given       time.Duration // the lifetime given, if it is more than maxLifetime
	assumed     bool          // lifetime was not given
	scopes      []string      // granted; nil if the response does not say
}

// A tokenRequest is a client-credentials request, which may take more than one
// attempt.
type tokenRequest struct {
	provider    *Provider
	metadata    *Metadata
	method      AuthMethod
	credentials Credentials
	audience    string // of client assertions
	scopes      []string
	prover      *prover // nil for a bearer token
	nonces      *nonces

	challenged bool          // it was retried with a nonce
	dated      time.Duration // time in the last assertion or proof minus this machine's
}

// send asks the token endpoint. It retries once, with a new assertion and proof, in each of
// two cases: if the request failed on a kept-alive connection that the provider had closed,
// since net/http does not retry a POST by itself; and if the provider wants a nonce in the
// proof (RFC 9449 section 8). The error is an *Error.
func (r *tokenRequest) send(ctx context.Context, client *http.Client) (*tokenResponse, error) {
	var reconnected bool // each case leads to one retry at most
	for {
		token, reused, err := r.attempt(ctx, client)
		failure, ok := errors.AsType[*Error](err)
		switch {
		case !ok:
			return token, err
		case reused && failure.Status == 0 && failure.Cause == CauseUnavailable && !reconnected:
			reconnected = true
		case r.prover != nil && failure.Code == "use_dpop_nonce" && !r.challenged:
			r.challenged = true
		default:
			return nil, err
		}
	}
}

// attempt asks the token endpoint once. It also reports whether the connection had been
// used before.
func (r *tokenRequest) attempt(ctx context.Context, client *http.Client) (token *tokenResponse, reused bool, err error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	req, err := r.build(ctx)
	if err != nil {
		return nil, false, &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
	}
	sent := time.Now()
	res, err := exchange(client, req, opToken, maxTokenResponse)
	if err != nil {
		return nil, reused, err
	}
	r.nonces.keep(req.URL, NextNonce(res.header))
	want := typeBearer
	if r.prover != nil {
		want = typeDPoP
	}
	token, err = parseTokenResponse(res, want)
	if failure, ok := errors.AsType[*Error](err); !ok || failure.ofProvider() {
		r.provider.measure(res.header, sent)
	}
	return token, reused, err
}

// ofProvider reports whether the response is certainly the provider's own: it has a known
// error code, and its status is not 404, 405, 410 or 5xx. A proxy in between may also
// respond with JSON and an error if the provider is down, and its Date is the proxy's.
func (e *Error) ofProvider() bool {
	return e.Code != "" && e.Code != otherCode && e.Status < http.StatusInternalServerError && !noEndpoint(e.Status)
}

// build makes the HTTP request (RFC 6749 section 4.4.2).
func (r *tokenRequest) build(ctx context.Context) (*http.Request, error) {
	r.dated = r.provider.Clock().correction()
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(r.scopes) > 0 {
		form.Set("scope", strings.Join(r.scopes, " "))
	}
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
	}
	if err := r.authenticate(ctx, header, form); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.metadata.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header = header
	if r.prover != nil || r.method == PrivateKeyJWT {
		// Otherwise net/http may retry with the same assertion and proof over HTTP/2.
		req.GetBody = nil
	}
	if r.prover != nil {
		proof, err := r.prover.proof(ctx, req.Method, req.URL, r.nonces.get(req.URL), nil, r.now())
		if err != nil {
			return nil, err
		}
		header["Dpop"] = []string{proof}
	}
	return req, nil
}

// now returns the time for the assertion and proof of the attempt.
func (r *tokenRequest) now() time.Time { return time.Now().Add(r.dated) }

// parseTokenResponse reads a response of the token endpoint. It recognises JSON by its
// content, since some middleboxes and old servers send another Content-Type. The token
// must have the type that was asked for. A token without a type is a bearer token.
func parseTokenResponse(res *response, want string) (*tokenResponse, error) {
	fields, parseErr := parseMembers(res.body)
	if code := fields.text("error"); res.status != http.StatusOK || code != "" {
		failure := res.failure(opToken, code)
		failure.topics = topicsOf(fields.text("error_description"))
		if parseErr != nil && failure.Err == nil {
			failure.Err = errors.New("the response is not JSON")
		}
		return nil, failure
	}
	unusable := func(reason string) (*tokenResponse, error) {
		return nil, &Error{Op: opToken, Cause: CauseUnusable, Status: res.status, Err: errors.New(reason)}
	}
	accessToken, tokenType := fields.text("access_token"), fields.text("token_type")
	if tokenType == "" && want == typeBearer {
		tokenType = typeBearer // the default; a bound token must say its type
	}
	switch {
	case len(strings.TrimSpace(string(res.body))) == 0:
		return unusable("the response is empty")
	case parseErr != nil:
		// The error of encoding/json may quote the response, so it is not used.
		return unusable("the response is not a token response in JSON")
	case fields.says("error"):
		return unusable("the response has an error whose code is not a string")
	case accessToken == "":
		return unusable("the response has no access_token")
	case strings.ContainsFunc(accessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return unusable("the access_token has characters that cannot be sent in a header field")
	case !strings.EqualFold(tokenType, want):
		// A bearer token must not replace a bound one, since anybody who finds it can
		// use it. A bound token cannot replace a bearer token, since it needs proofs.
		return nil, &Error{Op: opToken, Cause: CauseUnusable, Status: res.status, tokenType: &tokenType, Err: errors.New("the token_type is not " + want)}
	}
	token := &tokenResponse{accessToken: NewSecret(accessToken)}
	token.lifetime, token.assumed = parseLifetime(fields["expires_in"])
	if token.lifetime > maxLifetime {
		token.lifetime, token.given = maxLifetime, token.lifetime
	}
	if scope := new(string); json.Unmarshal(fields["scope"], &scope) == nil && scope != nil {
		token.scopes = strings.Fields(*scope)
		for i := range token.scopes {
			token.scopes[i] = printable(token.scopes[i])
		}
	}
	return token, nil
}

// parseLifetime reads expires_in, a number of seconds. Some servers send it as a string
// or with a fraction. If it cannot be read, it counts as not given.
func parseLifetime(raw json.RawMessage) (lifetime time.Duration, assumed bool) {
	text := strings.Trim(strings.TrimSpace(string(raw)), `"`)
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(seconds) {
		return assumedLifetime, true
	}
	seconds = math.Floor(min(max(seconds, -1), maxGiven.Seconds()))
	return time.Duration(seconds) * time.Second, false
}
