package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// A requester asks the provider of a Source for tokens. Only its nonces are safe for
// concurrent use: one attempt at a time uses the rest.
type requester struct {
	config     Config
	nonces     nonces
	key        *Key           // generated
	identified func(identity) // is called with the identity before each request
}

// direct is the supplier that asks the provider.
type direct struct {
	*requester
	client *http.Client
}

// obtain implements supplier.
func (d *direct) obtain(ctx context.Context, n need) (*Token, error) {
	ctx, cancel := context.WithDeadline(ctx, n.deadline)
	defer cancel()
	metadata, err := d.config.Provider.Metadata(ctx, d.client)
	if err != nil {
		return nil, err
	}
	return d.ask(ctx, metadata, n)
}

// look implements supplier.
func (*direct) look(context.Context, need) *Token { return nil }

// fleet implements supplier.
func (*direct) fleet() bool { return false }

// ask asks the token endpoint of metadata. If the endpoint has vanished, ask reads the
// provider's configuration again. If that names another endpoint, ask asks there.
func (d *direct) ask(ctx context.Context, metadata *Metadata, n need) (*Token, error) {
	n.event.Metadata = metadata
	token, err := d.request(ctx, metadata, n)
	if err == nil || !vanished(err) {
		return token, err
	}
	d.config.Provider.Outdated(metadata)
	again, readErr := d.config.Provider.Metadata(ctx, d.client)
	if readErr != nil || again.TokenEndpoint == metadata.TokenEndpoint {
		return nil, err
	}
	n.event.Metadata = again
	return d.request(ctx, again, n)
}

// vanished reports whether err may mean that the token endpoint is not there any more.
func vanished(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Status == 0:
		return e.Cause == CauseUnavailable // such as an unknown host, or a refused connection
	}
	return noEndpoint(e.Status) || e.Status >= 300 && e.Status < 400
}

// request asks the token endpoint of metadata.
func (d *direct) request(ctx context.Context, metadata *Metadata, n need) (*Token, error) {
	method, err := chooseMethod(d.config.AuthMethod, n.credentials, metadata)
	if err != nil {
		return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: err}
	}
	prover, err := d.newProver(n.credentials, metadata)
	if err != nil {
		return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: fmt.Errorf("DPoP: %w", err)}
	}
	d.identified(newIdentity(n.credentials, method, metadata, prover))
	request := tokenRequest{
		provider: d.config.Provider, metadata: metadata, method: method, credentials: n.credentials,
		audience: d.config.Audience, scopes: d.config.Scopes, prover: prover, nonces: &d.nonces,
	}
	sent := readClocks()
	res, err := request.send(ctx, d.client)
	n.event.NonceWanted = n.event.NonceWanted || request.challenged
	if err != nil {
		if failure, ok := errors.AsType[*Error](err); ok && failure.Status != 0 {
			failure.request = request.facts()
		}
		return nil, err
	}
	n.event.LifetimeAssumed, n.event.LifetimeGiven = res.assumed, res.given
	now := readClocks()
	token := newToken(res, prover, sent, now, d.config.RefreshBefore)
	if !token.singleUse && !token.usable(now) {
		return nil, &Error{Op: opToken, Cause: CauseUnusable, Err: errLate}
	}
	return token, nil
}

// errLate is the error for a token whose lifetime is shorter than the request took.
var errLate = errors.New("the token had expired when it arrived")

// newProver returns the prover for the next token, or nil if the tokens are not bound to a
// key.
func (d *direct) newProver(credentials Credentials, metadata *Metadata) (*prover, error) {
	if !d.config.DPoP {
		return nil, nil
	}
	if credentials.DPoPKey != nil {
		return newProver(credentials.DPoPKey, metadata.DPoPAlgorithms)
	}
	if d.key != nil {
		if prover, err := newProver(d.key, metadata.DPoPAlgorithms); err == nil {
			return prover, nil
		} // else the provider has changed its list of algorithms
	}
	alg := "ES256"
	if metadata.DPoPAlgorithms != nil && !slices.Contains(metadata.DPoPAlgorithms, alg) {
		alg = "RS256"
	}
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	d.key = key
	return newProver(d.key, metadata.DPoPAlgorithms)
}
