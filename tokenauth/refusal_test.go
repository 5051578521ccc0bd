package tokenauth_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// hintKey is a key whose kid, thumbprint and digest are in the hints below.
const hintKey = `{"kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ","y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck","d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}`

// The thumbprint of hintKey, and the digest of its SubjectPublicKeyInfo.
const (
	hintKeyThumbprint = "Vy57XrArUrW0NbpI12tEzDHABxMwrTh6HHXRenSpnCo"
	hintKeyDigest     = "GYGCMqHdMT9TtdW5WuPTJXDheLpY1tWQaYn8KZsA4y8"
)

// A refusalCase is a response of a provider, with the hint that it should lead to.
type refusalCase struct {
	provider     string // that responds so; the description is from its source code
	status       int
	code         string
	description  string
	method       tokenauth.AuthMethod // default client_secret_basic; private_key_jwt uses hintKey
	keyID        string
	audience     string
	secret       string // default "plain"
	dpop         bool
	lists        map[string]any // lists in the discovery document
	ahead        *time.Duration // of the provider's clock; nil if it sends no Date
	hint, absent []string
}

const (
	theEndpoint = "https://issuer.test/auth/realms/test/protocol/openid-connect/token"
	post        = tokenauth.ClientSecretPost
	byKey       = tokenauth.PrivateKeyJWT
)

// dpopListed are the members of a discovery document that lists DPoP.
var dpopListed = map[string]any{"dpop_signing_alg_values_supported": []string{"ES256"}}

func TestHintsAreMadeOfWhatIsKnown(t *testing.T) {
	for name, test := range map[string]refusalCase{
		"scope":           {status: 400, code: "invalid_scope", hint: []string{"has not been given this scope"}},
		"scope, by a key": {status: 400, code: "invalid_scope", method: byKey, hint: []string{"has not been given this scope"}, absent: []string{"clock"}},

		"no such grant":                   {status: 400, code: "unsupported_grant_type", hint: []string{"no client credentials grant"}},
		"service accounts":                {provider: "Keycloak 26.7.3", status: 401, code: "unauthorized_client", description: "Client not enabled to retrieve service account", hint: []string{"does not let this client use the client credentials grant", "service accounts"}},
		"grant of a client":               {provider: "oidc-provider 9.13.3", status: 400, code: "unauthorized_client", description: "requested grant type is not allowed for this client", hint: []string{"does not let this client use the client credentials grant"}},
		"grant, by a code of the request": {provider: "oidc-provider 9.12.2", status: 400, code: "invalid_request", description: "requested grant type is not allowed for this client", hint: []string{"does not let this client use the client credentials grant"}, absent: []string{"DPoP"}},
		"grant, by the standard":          {provider: "Spring Authorization Server 7.1.2", status: 400, code: "unauthorized_client", hint: []string{"does not know this client, or not with this credential, or does not let it use the client credentials grant", "belong to this environment"}, absent: []string{"auth_method"}},
		"unknown, by Entra":               {provider: "Microsoft Entra", status: 400, code: "unauthorized_client", description: "AADSTS700016: Application with identifier 'x' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.", hint: []string{"does not know this client", "does not let it use the client credentials grant"}},
		"disabled, by Entra":              {provider: "Microsoft Entra", status: 400, code: "unauthorized_client", description: "AADSTS7000112: Application 'x'(name) is disabled.", hint: []string{"is disabled there"}},
		"grant, by a key":                 {provider: "Spring Authorization Server 7.1.2", status: 400, code: "unauthorized_client", method: byKey, hint: []string{"does not let it use the client credentials grant"}, absent: []string{"kid"}},
		"grant, by many words":            {provider: "Ory Hydra 2.3.0", status: 400, code: "unauthorized_client", description: "The client is not authorized to request a token using this method. The OAuth 2.0 Client is not allowed to use authorization grant 'client_credentials'.", hint: []string{"does not let this client use the client credentials grant"}},
		"wrong secret, by words":          {status: 400, code: "unauthorized_client", description: "Invalid client secret", hint: []string{"not with this secret"}},
		"realm not enabled":               {provider: "Keycloak 26.7.3", status: 403, code: "access_denied", description: "Realm not enabled", hint: []string{"is disabled there"}, absent: []string{"secret"}},
		"disabled, by a key":              {status: 400, code: "invalid_client", description: "The client is disabled", method: byKey, hint: []string{"is disabled there"}, absent: []string{"kid", "clock"}},
		"DPoP is disabled":                {status: 400, code: "invalid_request", description: "DPoP is disabled", dpop: true, hint: []string{"does not accept the proof"}},
		"denied, by Auth0":                {status: 401, code: "access_denied", description: "Unauthorized", hint: []string{"not with this credential"}},
		"denied":                          {status: 403, code: "access_denied", hint: []string{"denies access", "may be disabled", "may not use this API (audience)"}},
		"denied, no audience":             {provider: "Auth0", status: 403, code: "access_denied", description: "No audience parameter was provided, and no default audience has been configured", hint: []string{"may not use this API (audience)"}, absent: []string{"is disabled"}},
		"denied, no audience, by a key":   {provider: "Auth0", status: 403, code: "access_denied", description: "No audience parameter was provided, and no default audience has been configured", method: byKey, hint: []string{"may not use this API (audience)"}, absent: []string{"assertion"}},
		"denied, API":                     {provider: "Auth0", status: 403, code: "access_denied", description: "Client is not authorized to access \"https://api\". You might need to create a client grant associated to this API.", hint: []string{"may not use this API (audience)"}, absent: []string{"is disabled"}},
		"denied for want of a proof":      {status: 403, code: "access_denied", description: "DPoP proof required", hint: []string{"may demand DPoP"}, absent: []string{"disabled"}},
		"method is disabled":              {status: 401, code: "invalid_client", description: "client_secret_basic is disabled for this client", hint: []string{"not registered for the authentication method client_secret_basic"}},
		"method of the key is disabled":   {status: 400, code: "invalid_client", description: "private_key_jwt is disabled", method: byKey, hint: []string{"not registered for the authentication method private_key_jwt"}},

		"wrong secret":             {provider: "Keycloak 26.7.3", status: 401, code: "unauthorized_client", description: "Invalid client or Invalid client credentials", hint: []string{"not with this secret", "is disabled"}, absent: []string{"the client credentials grant", "clock"}},
		"unknown client":           {provider: "Keycloak 26.7.3", status: 401, code: "invalid_client", description: "Invalid client or Invalid client credentials", hint: []string{"does not know this client, or not with this credential"}},
		"401 alone":                {status: 401, hint: []string{"does not know this client, or not with this credential"}},
		"registered for post":      {provider: "oidc-provider 9.13.3", status: 401, code: "invalid_client", description: "client authentication failed", hint: []string{"registered for client_secret_post needs that as its auth_method"}},
		"registered for Basic":     {provider: "oidc-provider 9.13.3", status: 401, code: "invalid_client", method: post, hint: []string{"registered for client_secret_basic needs that as its auth_method"}},
		"Basic alone is listed":    {status: 401, code: "invalid_client", lists: map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}}, hint: []string{"not with this credential"}, absent: []string{"auth_method"}},
		"Basic is not listed":      {status: 401, code: "invalid_client", lists: map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_post"}}, method: tokenauth.ClientSecretBasic, hint: []string{"does not list the authentication method client_secret_basic", "client_secret_post", "auth_method"}},
		"Basic is not decoded":     {status: 401, code: "invalid_client", secret: "a+b/c=", hint: []string{"client_secret_basic encodes", "set auth_method client_secret_post"}},
		"hard secret by post":      {status: 401, code: "invalid_client", secret: "a+b/c=", method: post, absent: []string{"encodes"}, hint: []string{"client_secret_basic needs that"}},
		"an assertion is wanted":   {provider: "Keycloak 26.7.3", status: 400, code: "invalid_client", description: "Parameter client_assertion_type is missing", hint: []string{"not registered for the authentication method client_secret_basic"}},
		"a secret is wanted":       {provider: "Keycloak 26.7.3", status: 400, code: "unauthorized_client", description: "Client secret not provided in request", method: byKey, hint: []string{"not registered for the authentication method private_key_jwt"}},
		"invalid_request":          {status: 400, code: "invalid_request", hint: []string{"may demand DPoP for this client, or another authentication method than client_secret_basic"}},
		"invalid_request, by post": {status: 400, code: "invalid_request", method: post, hint: []string{"or another authentication method than client_secret_post"}},

		"invalid_request, by a key": {status: 400, code: "invalid_request", method: byKey, hint: []string{"may demand DPoP for this client, or another authentication method than private_key_jwt", "does not tell its time"}},
		"invalid_grant, by a key":   {status: 400, code: "invalid_grant", method: byKey, hint: []string{"the public key must be registered"}},

		"key under its thumbprint": {provider: "Keycloak 26.7.3 with a certificate", status: 400, code: "invalid_client", method: byKey, ahead: new(time.Duration(0)), hint: []string{
			"the public key must be registered", "under the kid " + hintKeyThumbprint + ", its thumbprint", "set key_id to " + hintKeyDigest + " then, or to none", "set audience to " + theEndpoint,
		}, absent: []string{"clock"}},
		"key under that of Keycloak":  {status: 400, code: "invalid_client", method: byKey, keyID: hintKeyDigest, hint: []string{"under the kid " + hintKeyDigest}, absent: []string{"or to none"}},
		"key under a name of its own": {status: 401, code: "invalid_client", method: byKey, keyID: "mine", hint: []string{"under the kid mine, which key_id or the JWK gives", hintKeyDigest}},
		"key without a name":          {provider: "oidc-provider 9.13.3", status: 401, code: "invalid_client", method: byKey, keyID: tokenauth.NoKeyID, hint: []string{"if there are several keys, key_id must give"}, absent: []string{"certificate"}},
		"assertion of the future":     {provider: "Keycloak 26.7.3", status: 400, code: "invalid_client", description: "Token was issued in the future", method: byKey, hint: []string{"too old, or dated in the future", "does not tell its time", "2000-01-01T00:00:00Z"}},
		"expired, by a right clock":   {status: 401, code: "invalid_client", description: "client_assertion has expired", method: byKey, ahead: new(time.Duration(0)), hint: []string{"the public key must be registered"}, absent: []string{"clock"}},
		"the words of the RFC":        {status: 400, code: "invalid_client", description: "Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method)", hint: []string{"not with this credential"}},
		"Authelia":                    {status: 401, code: "invalid_client", description: "Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method). The request was determined to be using 'token_endpoint_auth_method' method 'client_secret_basic', however the OAuth 2.0 client registration does not allow this method.", hint: []string{"not registered for the authentication method client_secret_basic"}},
		"another algorithm":           {provider: "Keycloak 26.7.3", status: 400, code: "invalid_client", description: "Invalid signature algorithm", method: byKey, hint: []string{"does not accept the algorithm ES256 of the key"}, absent: []string{"kid", "clock", "audience"}},
		"no such algorithm":           {provider: "mock-oauth2-server 6.0.2", status: 400, code: "invalid_request", description: "invalid request: unsupported signed jwt algorithm: eddsa", method: byKey, hint: []string{"does not accept the algorithm ES256 of the key"}, absent: []string{"DPoP"}},
		"algorithm of the client":     {provider: "Ory Hydra 2.3.0", status: 401, code: "invalid_client", description: "The 'client_assertion' uses signing algorithm 'ES256' but the requested OAuth 2.0 Client enforces signing algorithm 'RS256'.", method: byKey, hint: []string{"does not accept the algorithm ES256 of the key"}},
		"algorithm of the proof":      {status: 400, code: "invalid_dpop_proof", description: "unsupported alg in the DPoP proof", method: byKey, dpop: true, hint: []string{"does not accept the proof"}, absent: []string{"algorithm ES256 of the key"}},
		"no public key":               {provider: "Keycloak 26.7.3", status: 400, code: "unauthorized_client", description: "Unable to load public key", method: byKey, hint: []string{"under the kid " + hintKeyThumbprint}},
		"audience":                    {status: 400, code: "invalid_client", description: "aud must be the token endpoint", method: byKey, hint: []string{"for its audience", "set audience to " + theEndpoint}, absent: []string{"kid"}},
		"other audience":              {provider: "Keycloak 26.7.3", status: 400, code: "invalid_client", description: "Invalid token audience", method: byKey, audience: "https://other.test", hint: []string{"it names https://other.test as the audience", "leave audience out"}},

		"no proof, by Keycloak":      {provider: "Keycloak 26.7.3", status: 400, code: "invalid_request", description: "DPoP proof is missing", hint: []string{"may demand DPoP for this client"}, absent: []string{"authentication method"}},
		"no proof, by oidc-provider": {provider: "oidc-provider 9.13.3", status: 400, code: "invalid_grant", lists: dpopListed, hint: []string{"may demand DPoP for this client"}},
		"no proof, with a key":       {status: 400, code: "invalid_request", method: byKey, lists: dpopListed, hint: []string{"may demand DPoP for this client"}},
		"no proof, by the standard":  {status: 400, code: "invalid_dpop_proof", hint: []string{"may demand DPoP for this client"}},
		"assertion is missing":       {provider: "Keycloak 26.7.3", status: 400, code: "invalid_request", description: "Parameter client_assertion is missing", lists: dpopListed, hint: []string{"not registered for the authentication method client_secret_basic"}, absent: []string{"DPoP"}},
		"secret is missing":          {status: 400, code: "invalid_request", description: "client_secret is missing", lists: dpopListed, method: byKey, hint: []string{"not registered for the authentication method private_key_jwt"}, absent: []string{"DPoP"}},
		"algorithm, DPoP listed":     {provider: "mock-oauth2-server 6.0.2", status: 400, code: "invalid_request", description: "invalid request: unsupported signed jwt algorithm: es256", lists: dpopListed, method: byKey, hint: []string{"does not accept the algorithm ES256 of the key"}, absent: []string{"DPoP"}},
		"audience, DPoP listed":      {status: 400, code: "invalid_request", description: "aud must be the token endpoint", lists: dpopListed, method: byKey, hint: []string{"for its audience"}, absent: []string{"DPoP"}},
		"key, DPoP listed":           {status: 400, code: "invalid_request", description: "no public key for the kid", lists: dpopListed, method: byKey, hint: []string{"the public key must be registered"}, absent: []string{"DPoP"}},
		"time, DPoP listed":          {status: 400, code: "invalid_request", description: "the JWT has expired", lists: dpopListed, method: byKey, hint: []string{"too old, or dated in the future"}, absent: []string{"DPoP"}},
		"method, DPoP listed":        {status: 400, code: "invalid_request", description: "unsupported authentication method", lists: dpopListed, hint: []string{"not registered for the authentication method"}, absent: []string{"DPoP"}},
		"credential, DPoP listed":    {status: 400, code: "invalid_grant", description: "Invalid client credentials", lists: dpopListed, hint: []string{"not with this credential"}, absent: []string{"DPoP"}},
		"parameter, DPoP listed":     {status: 400, code: "invalid_request", description: "Missing required parameter: resource", lists: dpopListed, hint: []string{"another authentication method than client_secret_basic, or a parameter that is not sent"}},
		"client_id, DPoP listed":     {provider: "Spring Authorization Server 7.1.2", status: 400, code: "invalid_request", description: "OAuth 2.0 Parameter: client_id", lists: dpopListed, method: byKey, hint: []string{"another authentication method than private_key_jwt, or a parameter that is not sent"}},
		"parameter, though a proof":  {status: 400, code: "invalid_request", description: "Missing required parameter: resource", lists: dpopListed, dpop: true, hint: []string{"may demand another authentication method than client_secret_basic, or a parameter that is not sent"}, absent: []string{"DPoP"}},
		"audience as a parameter":    {status: 400, code: "invalid_request", description: "audience is required", method: byKey, hint: []string{"or a parameter that is not sent"}, absent: []string{"the client assertion"}},
		"another target":             {status: 400, code: "invalid_target", description: "resource is missing", hint: []string{"or a parameter that is not sent"}},
		"PKCE":                       {status: 400, code: "invalid_request", description: "Proof Key for Code Exchange is required", hint: []string{"another authentication method"}},
		"PKCE, with a proof":         {status: 401, code: "invalid_client", description: "proof key for code exchange is required", dpop: true, hint: []string{"not with this credential"}, absent: []string{"DPoP"}},
		"a certificate is wanted":    {status: 401, code: "invalid_client", description: "client certificate is missing, proof-of-possession required", hint: []string{"not with this credential"}, absent: []string{"DPoP"}},

		"no nonce": {status: 400, code: "use_dpop_nonce", hint: []string{"may demand DPoP for this client"}},

		"proof, by Keycloak":      {provider: "Keycloak 26.7.3", status: 400, code: "invalid_request", description: "DPoP proof has expired", dpop: true, lists: dpopListed, hint: []string{"does not accept the proof of the key", theEndpoint}, absent: []string{"may demand", "does not list"}},
		"proof, in silence":       {provider: "Keycloak 26.7.3", status: 400, code: "invalid_request", dpop: true, hint: []string{"does not accept the proof of the key", "does not list DPoP"}, absent: []string{"may demand"}},
		"proof, by oidc-provider": {provider: "oidc-provider 9.13.3", status: 400, code: "invalid_dpop_proof", dpop: true, lists: dpopListed, hint: []string{"does not accept the proof of the key", "the provider does not tell its time"}},
		"proof and secret":        {status: 401, code: "invalid_client", dpop: true, ahead: new(time.Duration(0)), hint: []string{"not with this credential"}, absent: []string{"proof", "clock"}},
		"proof and key":           {status: 400, code: "invalid_client", dpop: true, method: byKey, hint: []string{"the public key must be registered"}},
		"expired secret":          {provider: "oidc-provider 9.13.3", status: 401, code: "invalid_client", description: "could not authenticate the client - its client secret is expired", dpop: true, hint: []string{"not with this credential"}, absent: []string{"clock", "too old"}},
		"expired secret, clock":   {status: 401, code: "invalid_client", description: "its client secret is expired", dpop: true, ahead: new(20 * time.Second), hint: []string{"not with this credential"}, absent: []string{"too old"}},
		"expired secret, by 400":  {status: 400, code: "invalid_request", description: "its client secret is expired", dpop: true, hint: []string{"not with this credential"}, absent: []string{"proof", "too old"}},
		"expired secret, Entra":   {provider: "Microsoft Entra", status: 401, code: "invalid_client", description: "AADSTS7000222: The provided client secret keys for app 'x' are expired.", dpop: true, hint: []string{"not with this credential"}, absent: []string{"too old", "clock"}},
		"expired credential":      {status: 400, code: "invalid_grant", description: "The credentials have expired", dpop: true, lists: dpopListed, hint: []string{"not with this credential"}, absent: []string{"proof", "clock"}},
		"expired proof, a secret": {status: 401, code: "invalid_client", description: "DPoP proof expired", dpop: true, hint: []string{"does not accept the proof"}},
		"expired key":             {status: 401, code: "invalid_client", description: "The public key of the client has expired", method: byKey, hint: []string{"the public key must be registered"}, absent: []string{"too old"}},
		"signature of the proof":  {status: 400, code: "invalid_request", description: "invalid signature", dpop: true, hint: []string{"does not accept the proof"}},
		"nonce again and again":   {status: 400, code: "use_dpop_nonce", dpop: true, hint: []string{"again and again"}},

		"clock unknown, by a key":  {provider: "Keycloak 26.7.3", status: 400, code: "invalid_client", method: byKey, hint: []string{"does not tell its time, so look at this machine's clock too, which says 2000-01-01T00:00:00Z"}},
		"clock unknown, proof":     {provider: "Keycloak 26.7.3", status: 400, code: "invalid_request", dpop: true, hint: []string{"does not tell its time", "2000-01-01T00:00:00Z"}},
		"clock unknown, grant":     {status: 400, code: "invalid_grant", dpop: true, hint: []string{"2000-01-01T00:00:00Z"}},
		"clock unknown, secret":    {status: 401, code: "invalid_client", absent: []string{"clock", "its time"}, hint: []string{"not with this credential"}},
		"clock behind":             {status: 400, code: "invalid_client", method: byKey, ahead: new(-40 * time.Second), hint: []string{"this machine's clock differs from the provider's by 40s", "which says 2000-01-01T00:00:00Z while the provider's shows 1999-12-31T23:59:2"}},
		"clock far off":            {status: 400, code: "invalid_client", method: byKey, ahead: new(time.Hour), hint: []string{"differs from the provider's by 1h0m", "too far off to be corrected for"}},
		"clock far off, proof":     {status: 400, code: "invalid_request", dpop: true, ahead: new(24 * time.Hour), hint: []string{"differs from the provider's by 24h0m", "2000-01-02T00:00:0"}},
		"clock right":              {status: 400, code: "invalid_request", dpop: true, ahead: new(time.Second), hint: []string{"proof of the key"}, absent: []string{"clock"}},
		"clock off, key not known": {status: 400, code: "unauthorized_client", description: "Unable to load public key", method: byKey, ahead: new(20 * time.Second), hint: []string{"the public key must be registered", "this machine's clock, which says 2000"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.check(t) })
		})
	}
}

// check compares the hint for the refusal.
func (c refusalCase) check(t *testing.T) {
	server := tokenauthtest.NewServer()
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt", "client_secret_basic", "client_secret_post"}
		maps.Copy(document, c.lists)
		tokenauthtest.WriteJSON(w, 200, document)
	})
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		if c.ahead != nil {
			tellTime(w, *c.ahead)
		}
		if c.code == "" {
			w.WriteHeader(c.status)
			return
		}
		tokenauthtest.WriteJSON(w, c.status, map[string]string{"error": c.code, "error_description": c.description})
	})
	source := newTestSource(t, server, func(config *tokenauth.Config) {
		config.DPoP, config.Audience, config.AuthMethod = c.dpop, c.audience, c.method
		config.Credentials = c.credentials
	})
	hint := getError(t, source).Hint()
	for _, text := range c.hint {
		if !strings.Contains(hint, text) {
			t.Errorf("the hint is %q, want %q in it", hint, text)
		}
	}
	for _, text := range c.absent {
		if strings.Contains(hint, text) {
			t.Errorf("the hint is %q, want no %q in it", hint, text)
		}
	}
	if strings.Contains(hint, c.description) && c.description != "" {
		t.Errorf("the hint %q repeats the provider's words", hint)
	}
	if n := len(server.TokenRequests()); n > 2 || n > 1 && c.code != "use_dpop_nonce" {
		t.Errorf("%d token requests", n)
	}
}

// credentials returns the credentials of the client.
func (c refusalCase) credentials() (tokenauth.Credentials, error) {
	if c.method == byKey {
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(hintKey), c.keyID)
		return tokenauth.Credentials{ClientID: "client", Key: key}, err
	}
	secret := c.secret
	if secret == "" {
		secret = "plain"
	}
	return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret(secret)}, nil
}

// A token of one kind must not be used as one of the other kind.
func TestHintsAtTokensOfAnotherType(t *testing.T) {
	for name, test := range map[string]struct {
		tokenType    any
		dpop, listed bool
		hint         string
	}{
		"bearer, mock-oauth2-server 6.0.2": {"Bearer", true, false, "the provider does not support DPoP, or not for this client: its token is not bound to a key, although there was a proof, and its configuration does not list DPoP"},
		"bearer, though DPoP is listed":    {"bearer", true, true, "although there was a proof; have DPoP switched on"},
		"without a type":                   {nil, true, false, "the provider does not support DPoP"},
		"DPoP, not asked for":              {"DPoP", false, true, "the provider binds the tokens of this client to a key (DPoP)"},
		"another":                          {"N_A", false, false, "does not respond like a token endpoint"},
		"another, for a proof":             {"mac", true, false, "does not respond like a token endpoint"},
	} {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			if test.listed {
				document["dpop_signing_alg_values_supported"] = []string{"ES256"}
			}
			tokenauthtest.WriteJSON(w, 200, document)
		})
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": test.tokenType, "expires_in": 300})
		})
		failure := getError(t, newTestSource(t, server, func(c *tokenauth.Config) { c.DPoP = test.dpop }))
		if hint := failure.Hint(); failure.Cause != tokenauth.CauseUnusable || !strings.Contains(hint, test.hint) || strings.Contains(hint, "proxy") != (test.hint == "does not respond like a token endpoint") {
			t.Errorf("%s: the hint at %v is %q", name, failure, hint)
		}
	}
}

// If a provider knows a key by its certificate, assertions need not have a kid.
func TestAssertionWithoutAKid(t *testing.T) {
	for id, want := range map[string]string{"": `"kid":"` + hintKeyThumbprint + `"`, "mine": `"kid":"mine"`, tokenauth.NoKeyID: ""} {
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(hintKey), id)
		if err != nil {
			t.Fatal(err)
		}
		server := newKeyServer()
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "client", Key: key}, nil
			}
		})
		getToken(t, source)
		header := decodeHeader(t, server.TokenRequests()[0].Form.Get("client_assertion"))
		if !strings.Contains(header, want) || strings.Contains(header, "kid") != (want != "") {
			t.Errorf("key_id %q: the header is %s", id, header)
		}
		if got := source.Status().AssertionKeyID; got != key.ID() || (got == "") != (want == "") {
			t.Errorf("key_id %q: the kid that is shown is %q", id, got)
		}
		public, err := key.Public()
		if err != nil || strings.Contains(string(public), "kid") != (want != "") {
			t.Errorf("key_id %q: the JWK is %s, %v", id, public, err)
		}
	}
	// If the kid in a JWK is "none", it is still the kid.
	named := strings.Replace(hintKey, "{", `{"kid":"none",`, 1)
	if key, err := tokenauth.ParseKey(tokenauth.NewSecret(named), ""); err != nil || key.ID() != "none" {
		t.Errorf("the kid is %q, %v", key.ID(), err)
	}
}

// If the clock has been set since the attempt, the hint does not ask for that again.
func TestHintAfterTheClockWasSet(t *testing.T) {
	for _, now := range []time.Duration{0, 3 * time.Second, -3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			server := newKeyServer()
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tellTime(w, 2*time.Minute)
				tokenauthtest.WriteToken(w, "token", 0)
			})
			source := newTestSource(t, server, withKey(t))
			getToken(t, source)
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tellTime(w, now)
				tokenauthtest.WriteError(w, http.StatusBadRequest, "invalid_client")
			})
			advance(time.Minute)
			if err := source.Refresh(t.Context()); err == nil {
				t.Fatal("no error")
			}
			if hint := source.Status().Hint(); !strings.Contains(hint, "the next attempt uses the right time") || strings.Contains(hint, "set the clock") {
				t.Errorf("%v ahead: the hint is %q", now, hint)
			}
		})
	}
}
