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
	// assumedLifetime is that of a token whose lifetime is not given; BankID's
	// documented one (…/bankid-oidc-provider/core-concepts/session-handling).
	assumedLifetime = 5 * time.Minute
	maxLifetime     = 24 * time.Hour
)

// opToken names the operation in errors.
const opToken = "token request"

// tokenResponse is a successful answer of the token endpoint (RFC 6749 section
// 5.1).
type tokenResponse struct {
	accessToken Secret
	lifetime    time.Duration // may be zero or negative
	assumed     bool          // lifetime was not given
	scopes      []string      // granted; nil if the answer does not say
}

// requestToken asks the token endpoint once, and once more if the first
// request died with a kept-alive connection that the provider had closed
// meanwhile: net/http repeats no POST by itself. The error is an *Error.
func requestToken(ctx context.Context, client *http.Client, endpoint string, method AuthMethod, credentials Credentials, scopes []string) (*tokenResponse, error) {
	var reused bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	attempt := func() (*answer, error) {
		req, err := newTokenRequest(ctx, endpoint, method, credentials, scopes)
		if err != nil {
			return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
		}
		return exchange(client, req, opToken, maxTokenResponse)
	}
	res, err := attempt()
	if failure, ok := errors.AsType[*Error](err); ok && reused && failure.Status == 0 && failure.Cause == CauseUnavailable {
		res, err = attempt()
	}
	if err != nil {
		return nil, err
	}
	return parseTokenResponse(res)
}

// newTokenRequest makes a client-credentials request (RFC 6749 section 4.4.2).
func newTokenRequest(ctx context.Context, endpoint string, method AuthMethod, credentials Credentials, scopes []string) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
	}
	if err := method.authenticate(credentials, header, form); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// parseTokenResponse reads an answer of the token endpoint. JSON is recognised
// by its content: middle-boxes and old servers label it as they like.
func parseTokenResponse(res *answer) (*tokenResponse, error) {
	var fields struct {
		AccessToken string          `json:"access_token"`
		TokenType   string          `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		Scope       *string         `json:"scope"`
		Error       string          `json:"error"`
	}
	parseErr := json.Unmarshal(res.body, &fields)
	if res.status != http.StatusOK || fields.Error != "" {
		failure := res.failure(opToken, fields.Error)
		if parseErr != nil && failure.Err == nil {
			failure.Err = errors.New("the answer is not JSON")
		}
		return nil, failure
	}
	unusable := func(reason string) (*tokenResponse, error) {
		return nil, &Error{Op: opToken, Cause: CauseUnusable, Status: res.status, Err: errors.New(reason)}
	}
	switch {
	case len(strings.TrimSpace(string(res.body))) == 0:
		return unusable("the answer is empty")
	case parseErr != nil:
		// json's own error would quote the answer.
		return unusable("the answer is not a token response in JSON")
	case fields.AccessToken == "":
		return unusable("the answer has no access_token")
	case strings.ContainsFunc(fields.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return unusable("the access_token has characters that cannot be sent in a header field")
	case !strings.EqualFold(fields.TokenType, string(Bearer)):
		return unusable("the token_type is not Bearer")
	}
	token := &tokenResponse{accessToken: NewSecret(fields.AccessToken)}
	token.lifetime, token.assumed = parseLifetime(fields.ExpiresIn)
	if fields.Scope != nil {
		token.scopes = strings.Fields(*fields.Scope)
	}
	return token, nil
}

// parseLifetime reads expires_in: seconds as a number, which some servers send
// as a string or with a fraction. What it cannot read counts as not given.
func parseLifetime(raw json.RawMessage) (lifetime time.Duration, assumed bool) {
	text := strings.Trim(strings.TrimSpace(string(raw)), `"`)
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(seconds) {
		return assumedLifetime, true
	}
	seconds = math.Floor(min(max(seconds, -1), maxLifetime.Seconds()))
	return time.Duration(seconds) * time.Second, false
}
