package tokenauth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// requestFacts are the facts about a token request that help to find out why it was
// refused. They hold nothing secret.
type requestFacts struct {
	method   AuthMethod
	proof    bool      // whether there was a proof (DPoP)
	metadata *Metadata // of the provider

	// For a client assertion: its audience and kid, the thumbprint and digest of the
	// key, and the algorithm.
	audience, keyID, thumbprint, digest string
	algorithm                           string

	// encoded reports whether form-encoding changes the client identifier or the secret
	// in HTTP Basic. suspicion says what looks wrong about the credentials.
	encoded   bool
	suspicion string

	// clock is the provider's clock as known after the response. dated is the difference
	// from this machine's clock with which the assertion or proof was dated. at is the
	// time of the response.
	clock Clock
	dated time.Duration
	at    time.Time
}

// facts returns the facts about the last attempt.
func (r *tokenRequest) facts() *requestFacts {
	c := r.credentials
	facts := &requestFacts{
		method: r.method, proof: r.prover != nil, metadata: r.metadata, suspicion: c.Hint(),
		clock: r.provider.Clock(), dated: r.dated, at: time.Now(),
	}
	switch r.method {
	case PrivateKeyJWT:
		facts.audience = r.audience
		facts.keyID, facts.thumbprint, facts.digest = c.Key.ID(), c.Key.Thumbprint(), c.Key.digest()
		facts.algorithm, _ = c.Key.algorithm(r.metadata.AssertionAlgorithms) // else there was no request
	case ClientSecretBasic:
		facts.encoded = url.QueryEscape(c.ClientID) != c.ClientID || url.QueryEscape(c.ClientSecret.Reveal()) != c.ClientSecret.Reveal()
	case ClientSecretPost:
	}
	return facts
}

// signed reports whether the request had a client assertion or a proof, which are signed
// and dated.
func (f *requestFacts) signed() bool { return f.proof || f.method == PrivateKeyJWT }

// lists reports whether the provider's configuration lists method, or has no list.
func (f *requestFacts) lists(method AuthMethod) bool {
	listed := f.metadata.TokenEndpointAuthMethods
	return listed == nil || slices.Contains(listed, method)
}

// listsDPoP reports whether the provider's configuration lists DPoP.
func (f *requestFacts) listsDPoP() bool { return len(f.metadata.DPoPAlgorithms) > 0 }

// misdated reports whether the assertion or proof had a time that differs from the
// provider's clock.
func (f *requestFacts) misdated() bool {
	return f.signed() && f.clock.Known && (f.clock.Ahead-f.dated).Abs() >= clockTolerance
}

// A reason is a possible reason for a refusal.
type reason struct {
	applies func(e *Error, f *requestFacts) bool
	hint    func(e *Error, f *requestFacts) string
	clock   bool // whether a wrong clock has the same effect
}

// reasons are the possible reasons for refusals. The hint is that of the first reason
// that applies. So the certain reasons come before the likely ones.
var reasons = []reason{
	{hint: scopeHint, applies: func(e *Error, _ *requestFacts) bool { return e.Code == "invalid_scope" }},
	{hint: grantHint, applies: func(e *Error, _ *requestFacts) bool {
		// By the standard, an unauthorized_client has been authenticated. Microsoft Entra
		// uses the code for an unknown client too. Keycloak uses it for a wrong secret,
		// with status 401 or a description that says so.
		unauthorized := e.Code == "unauthorized_client" && e.Status == http.StatusBadRequest && e.topics == 0
		return e.Code == "unsupported_grant_type" || e.topics.about(topicGrant) || unauthorized
	}},
	{hint: deniedHint, applies: func(e *Error, _ *requestFacts) bool {
		return e.Code == "access_denied" && e.Status == http.StatusForbidden && !e.topics.about(topicProof|topicKey|topicMethod|topicDisabled)
	}},
	{hint: disabledHint, applies: func(e *Error, _ *requestFacts) bool {
		return e.topics.about(topicDisabled) && !e.topics.about(topicProof|topicAudience|topicKey|topicMethod)
	}},
	{hint: nonceHint, applies: func(e *Error, f *requestFacts) bool { return f.proof && e.Code == "use_dpop_nonce" }},
	{hint: noProofHint, applies: func(e *Error, f *requestFacts) bool {
		silent := !e.topics.about(topicsOfRequest | topicsOfSignature | topicTime)
		return !f.proof && (e.topics.about(topicProof) || e.aboutProof() || e.mayBeAboutProof() && f.listsDPoP() && silent)
	}},
	{hint: audienceHint, clock: true, applies: func(e *Error, f *requestFacts) bool {
		// If a parameter is meant, it is the audience of the token.
		asked := e.topics.about(topicParameter) && !e.topics.about(topicAssertion)
		return f.method == PrivateKeyJWT && e.topics.about(topicAudience) && !asked
	}},
	{hint: algorithmHint, applies: func(e *Error, f *requestFacts) bool {
		return f.method == PrivateKeyJWT && e.topics.about(topicAlgorithm) && !e.topics.about(topicProof)
	}},
	{hint: clockHint, applies: func(e *Error, f *requestFacts) bool {
		return f.misdated() && !e.topics.about(topicKey) && !e.aboutSecret(f)
	}},
	{hint: timeHint, clock: true, applies: func(e *Error, f *requestFacts) bool {
		const others = topicProof | topicKey // a key may have expired too
		return f.signed() && e.topics.about(topicTime) && !e.topics.about(others) && !e.aboutSecret(f) &&
			f.clockRemark() != "" && e.Code != "invalid_grant"
	}},
	{hint: proofHint, clock: true, applies: func(e *Error, f *requestFacts) bool {
		others := topicsOfRequest
		if f.method == PrivateKeyJWT {
			others |= topicsOfSignature // the client assertion has them too
		}
		return f.proof && (e.topics.about(topicProof) || e.aboutProof() || e.mayBeAboutProof() && !e.topics.about(others))
	}},
	{hint: methodHint, applies: func(e *Error, f *requestFacts) bool {
		other := topicAssertion
		if f.method == PrivateKeyJWT {
			other = topicSecret
		}
		return e.topics.about(topicMethod|other) || !f.lists(f.method)
	}},
	{hint: suspicionHint, applies: func(_ *Error, f *requestFacts) bool { return f.suspicion != "" }},
	{hint: secretHint, applies: func(e *Error, f *requestFacts) bool { return e.aboutSecret(f) }},
	{hint: requestHint, clock: true, applies: func(e *Error, f *requestFacts) bool {
		unsaid := e.Code == "invalid_request" && !e.topics.about(topicKey) || e.mayBeAboutProof() && f.method != PrivateKeyJWT
		return unsaid || e.Code == "invalid_target"
	}},
	{hint: keyHint, clock: true, applies: func(_ *Error, f *requestFacts) bool { return f.method == PrivateKeyJWT }},
	{hint: secretHint, clock: true, applies: func(*Error, *requestFacts) bool { return true }},
}

// If a code may be about the proof, these topics show that it is not.
const (
	// topicsOfRequest are the topics of the parts that are not signed.
	topicsOfRequest = topicMethod | topicAssertion | topicSecret | topicCredential | topicParameter
	// topicsOfSignature are the topics of the parts that are signed.
	topicsOfSignature = topicAudience | topicKey | topicAlgorithm
)

// aboutSecret reports whether the refusal is about the client secret. A secret has no
// time, so the clock cannot be the reason, even if the request also had a proof.
func (e *Error) aboutSecret(f *requestFacts) bool {
	return f.method != PrivateKeyJWT && (e.aboutClient() || e.topics.about(topicCredential) && !e.topics.about(topicSecret))
}

// aboutClient reports whether the code is about the client and its credential.
func (e *Error) aboutClient() bool {
	return e.Code == "invalid_client" || e.Code == "unauthorized_client"
}

// RefusesClient reports whether the provider refused the client itself, rather than a scope
// or the form of the request (RFC 6749 section 5.2).
func (e *Error) RefusesClient() bool {
	return e.Cause == CauseRefused && (e.Status == http.StatusUnauthorized || e.aboutClient())
}

// aboutProof reports whether the code is from RFC 9449.
func (e *Error) aboutProof() bool {
	return e.Code == "invalid_dpop_proof" || e.Code == "use_dpop_nonce"
}

// mayBeAboutProof reports whether the code is one that Keycloak 26 or oidc-provider 9 use
// instead of those of RFC 9449.
func (e *Error) mayBeAboutProof() bool {
	return e.Code == "invalid_request" || e.Code == "invalid_grant"
}

// refusalHint returns the hint for a response that refuses the client or its request.
func (e *Error) refusalHint() string {
	if e.Op == opDiscovery {
		return "the provider's configuration is public, yet access to it is refused: look for a proxy in between"
	}
	f := e.request
	if f == nil {
		f = &requestFacts{metadata: new(Metadata)} // it was not made by a Source
	}
	i := slices.IndexFunc(reasons, func(r reason) bool { return r.applies(e, f) })
	hint := reasons[i].hint(e, f)
	if reasons[i].clock && f.signed() {
		hint += f.clockRemark()
	}
	return hint
}

// unusableHint returns the hint for a response that is not that of a token endpoint, or
// not the expected one.
func (e *Error) unusableHint() string {
	switch {
	case noEndpoint(e.Status):
		return "there is no token endpoint where the provider's configuration has it: look at host, path and realm of the issuer, which may have been renamed or removed, and for a proxy that responds instead of the provider"
	case e.tokenType == nil || e.request == nil:
		// the error is not about the token's type
	case e.request.proof && (*e.tokenType == "" || strings.EqualFold(*e.tokenType, typeBearer)):
		hint := "the provider does not support DPoP, or not for this client: its token is not bound to a key, although there was a proof"
		if !e.request.listsDPoP() {
			hint += ", and its configuration does not list DPoP"
		}
		return hint + "; have DPoP switched on, since b2b accepts only tokens that are bound to a key"
	case strings.EqualFold(*e.tokenType, typeDPoP):
		return "the provider binds the tokens of this client to a key (DPoP), and only the API b2b accepts such tokens: use another client"
	}
	return "the server at the token endpoint does not respond like a token endpoint: look for a proxy that responds instead of the provider"
}

func scopeHint(*Error, *requestFacts) string {
	return "the client has not been given this scope: look at its spelling, order it, or do not use what needs it"
}

func grantHint(e *Error, _ *requestFacts) string {
	const switchOn = "the client credentials grant: have it switched on for the client (in Keycloak: service accounts)"
	switch {
	case e.Code == "unsupported_grant_type":
		return "the provider has no client credentials grant, or it is switched off: this may be the wrong issuer"
	case e.topics.about(topicGrant):
		return "the provider does not let this client use " + switchOn
	}
	return "the provider does not know this client, or not with this credential, or does not let it use " + switchOn +
		", and look whether client and credential belong to this environment"
}

func deniedHint(*Error, *requestFacts) string {
	return "the provider denies access: the client, or the realm that it belongs to, may be disabled there, or closed to this machine, or it may not use this API (audience) or scope: compare with how it is registered"
}

func disabledHint(*Error, *requestFacts) string {
	return "the provider denies access: the client, or the realm that it belongs to, is disabled there, or closed to this machine"
}

func nonceHint(*Error, *requestFacts) string {
	return "the provider wants a new nonce in the proof (DPoP) again and again: its servers may not know each other's nonces"
}

func noProofHint(*Error, *requestFacts) string {
	return "the provider may demand DPoP for this client, so that its tokens are bound to a key, which only the API b2b supports: compare with how the client is registered"
}

func proofHint(e *Error, f *requestFacts) string {
	hint := "the provider does not accept the proof of the key (DPoP), which was made for " + f.metadata.TokenEndpoint
	if !f.listsDPoP() && !e.topics.about(topicProof) {
		hint += "; its configuration does not list DPoP, which may be switched off"
	}
	return hint + ": look at the time, and whether the provider knows its token endpoint by another URL"
}

func audienceHint(_ *Error, f *requestFacts) string {
	return "the provider does not accept the client assertion for its audience: " + f.audienceAdvice()
}

func algorithmHint(_ *Error, f *requestFacts) string {
	return "the provider does not accept the algorithm " + f.algorithm + " of the key, or not for this client: have the client registered for it, or use a key of another type"
}

func clockHint(_ *Error, f *requestFacts) string {
	if f.clock.Ahead.Abs() < clockTolerance {
		return "the assertion or proof was dated with an old difference between the clocks, and one of the clocks was set since then: the next attempt uses the right time"
	}
	hint := "this machine's clock differs from the provider's by " + f.clock.Ahead.Abs().String() +
		", so it does not accept what is signed here: set the clock, which says " + utc(f.at) +
		" while the provider's shows " + utc(f.at.Add(f.clock.Ahead))
	if !f.clock.Correctable() {
		hint += ", too far off to be corrected for"
	}
	return hint
}

func timeHint(*Error, *requestFacts) string {
	return "the provider says that what is signed here is too old, or dated in the future"
}

func suspicionHint(_ *Error, f *requestFacts) string { return f.suspicion }

func methodHint(_ *Error, f *requestFacts) string {
	if listed := f.metadata.TokenEndpointAuthMethods; !f.lists(f.method) {
		return fmt.Sprintf("the provider's configuration does not list the authentication method %s, but %s: look at auth_method, and how the client is registered", f.method, excerpt(listed))
	}
	return fmt.Sprintf("the client is not registered for the authentication method %s: look at auth_method, and how the client is registered", f.method)
}

func requestHint(e *Error, f *requestFacts) string {
	hint := "the provider may demand "
	if !f.proof {
		hint += "DPoP for this client, or "
	}
	hint += "another authentication method than " + string(f.method)
	if e.Code == "invalid_target" || e.topics.about(topicParameter|topicAudience) {
		hint += ", or a parameter that is not sent"
	}
	return hint + ": compare with how it is registered" + f.methodRemark()
}

func keyHint(e *Error, f *requestFacts) string {
	hint := "the issuer does not know this client, or not with this key: look whether both belong to this environment, and whether the client is disabled; the public key must be registered for the client, " +
		f.keyAdvice()
	if e.topics.about(topicKey) {
		return hint
	}
	return hint + "; " + f.audienceAdvice()
}

func secretHint(e *Error, f *requestFacts) string {
	hint := "the issuer does not accept this client: look whether it belongs to this environment, and how it is registered"
	switch {
	case e.Code == "unauthorized_client":
		// Keycloak uses this code for a wrong secret, RFC 6749 for the grant.
		hint = "the issuer knows this client, but not with this secret, or does not let it use client credentials: look whether the secret belongs to this environment and client, and whether the client is disabled"
	case e.Code == "invalid_client", e.topics.about(topicCredential), e.Status == http.StatusUnauthorized:
		hint = "the issuer does not know this client, or not with this credential: look whether both belong to this environment, since each has its own, and whether the client is disabled"
	}
	return hint + f.methodRemark()
}

// methodRemark returns a remark if another way to send the secret may help.
func (f *requestFacts) methodRemark() string {
	other := map[AuthMethod]AuthMethod{ClientSecretBasic: ClientSecretPost, ClientSecretPost: ClientSecretBasic}[f.method]
	switch {
	case other == "":
		return ""
	case f.encoded:
		return "; its secret or identifier has characters that client_secret_basic encodes, and some servers do not decode: for such a server, or if the client is registered for it, set auth_method " + string(other)
	case f.lists(other):
		return "; a client that is registered for " + string(other) + " needs that as its auth_method"
	}
	return ""
}

// keyAdvice says under which kid the key must be registered.
func (f *requestFacts) keyAdvice() string {
	switch f.keyID {
	case "":
		return "and if there are several keys, key_id must give the kid of this one"
	case f.digest:
		return "under the kid " + f.keyID
	case f.thumbprint:
		return "under the kid " + f.keyID + ", its thumbprint; if it was registered as a certificate or PEM, its kid in Keycloak differs: set key_id to " + f.digest + " then, or to none"
	}
	return "under the kid " + f.keyID + ", which key_id or the JWK gives; if it was registered as a certificate or PEM, its kid in Keycloak differs: set key_id to " + f.digest + " then, or to none"
}

// audienceAdvice says which other audience may be the right one.
func (f *requestFacts) audienceAdvice() string {
	if f.audience == f.metadata.Issuer {
		return "it names the issuer as the audience, and some providers want their token endpoint: for them, set audience to " + f.metadata.TokenEndpoint
	}
	return "it names " + f.audience + " as the audience, and most providers want their issuer: for them, leave audience out"
}

// clockRemark returns a remark about this machine's clock, or "" if the clock is known to
// be right.
func (f *requestFacts) clockRemark() string {
	switch {
	case !f.clock.Known:
		return "; the provider does not tell its time, so look at this machine's clock too, which says " + utc(f.at)
	case f.clock.Ahead.Abs() >= clockTolerance:
		return "; this machine's clock, which says " + utc(f.at) + ", differs from the provider's by " + f.clock.Ahead.Abs().String() + ": set it"
	}
	return ""
}

// utc returns t as hints show it.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
