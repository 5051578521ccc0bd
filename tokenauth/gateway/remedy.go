package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/retry"
)

// remedies is how often a call is sent again because its token was refused: once with
// the previous token, and once with a new one.
const remedies = 2

// remedy looks whether the response res refuses the token of a call. If it does, remedy
// sends the call again with another token, as long as the call's row allows that and
// there is a token that the call has not been sent with.
func (t *Transport) remedy(req *http.Request, x *Exchange, res *http.Response, err error) (*http.Response, error) {
	var refused []*tokenauth.Token
	for {
		switch {
		case err != nil || !x.Call.Kind.needsToken() || wantsNonce(x.Call, res):
			return res, err // a request for a nonce does not refuse the token
		case !t.rejected(x.Call, res):
			if res.StatusCode < http.StatusBadRequest {
				x.token.MarkAccepted()
			}
			return res, nil
		case len(refused) == remedies:
			return res, nil
		}
		refused = append(refused, x.token)
		source := t.Sources[x.Call.Group]
		if !x.Call.retryable() || !x.whole() {
			source.Reject(x.token, res.StatusCode) // so that later calls get another token
			return res, nil
		}
		next := t.another(req.Context(), x.Call.Group, source, refused, res.StatusCode)
		if next == nil {
			return res, nil
		}
		retry.Drain(res)
		x.token = next
		t.retrying(x.Call, ReasonRejected)
		res, err = t.sendWithNonce(req, x)
	}
}

// another returns a token that is not among refused, or nil if there is none. The last
// token of refused was refused just now.
func (t *Transport) another(ctx context.Context, group string, source *tokenauth.Source, refused []*tokenauth.Token, status int) *tokenauth.Token {
	start := time.Now()
	token, waited := source.Renew(ctx, refused[len(refused)-1], status)
	if slices.Contains(refused, token) {
		token, waited = source.Renew(ctx, token, status) // both were refused
	}
	if waited && t.Observer != nil {
		t.Observer.Waited(ctx, group, start, ctx.Err())
	}
	if slices.Contains(refused, token) {
		return nil
	}
	return token
}
