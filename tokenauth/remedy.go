package tokenauth

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// remedies is how often a call is sent again because its token was refused: once with
// the previous token, and once with a new one.
const remedies = 2

// remedy looks whether the response res refuses the token of a call. If it does, remedy
// sends the call again with another token, as long as the call's row allows that and
// there is a token that the call has not been sent with.
func (t *Transport) remedy(req *http.Request, call *Call, d *Delivery, res *http.Response, err error) (*http.Response, error) {
	var refused []*Token
	for {
		switch {
		case err != nil || !call.Kind.needsToken() || wantsNonce(call, res):
			return res, err // a request for a nonce does not refuse the token
		case !t.rejected(call, res):
			if res.StatusCode < http.StatusBadRequest {
				d.token.markAccepted()
			}
			return res, nil
		case len(refused) == remedies:
			return res, nil
		}
		refused = append(refused, d.token)
		source, how := t.Sources[call.Group], refusedToken
		if res.StatusCode == http.StatusForbidden {
			how = forbidden
		}
		if !call.repeatable() || !d.whole() {
			source.reject(d.token, how) // so that later calls get another token
			return res, nil
		}
		next := t.another(req.Context(), call.Group, source, refused, how)
		if next == nil {
			return res, nil
		}
		drain(res)
		d.token = next
		t.repeating(call, RepeatRejected)
		res, err = t.sendWithNonce(req, call, d)
	}
}

// another returns a token that is not among refused, or nil if there is none. The last
// token of refused was refused just now.
func (t *Transport) another(ctx context.Context, group string, source *Source, refused []*Token, how refusal) *Token {
	start := time.Now()
	token, waited := source.renew(ctx, refused[len(refused)-1], how)
	if slices.Contains(refused, token) {
		token, waited = source.renew(ctx, token, how) // both were refused
	}
	if waited && t.Observer != nil {
		t.Observer.Waited(ctx, group, start, ctx.Err())
	}
	if slices.Contains(refused, token) {
		return nil
	}
	return token
}
