package itest

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A setup is one way to set up a client, right or wrong.
type setup struct {
	name       string        // as the table says
	registered *registration // what the provider knows of the client; nil for nothing
	used       usage         // what the gateway is configured with

	// rotated is what both change to while the gateway runs, nil if they do not.
	rotated *rotation

	// meanwhile is what happens after the gateway has read the provider's
	// configuration, nil for nothing.
	meanwhile func()

	// clock is by how much this machine's clock is ahead.
	clock time.Duration

	// issuer is the one in the gateway's configuration, "" for the provider's. What
	// begins with "/" is appended to that.
	issuer string

	want outcomes
}

// A rotation is what a client changes to.
type rotation struct {
	registered *registration
	used       usage
	before     outcomes // what comes of the credential before from then on: works or refused
}

// A usage is how the gateway uses a client.
type usage struct {
	clientID   string
	secret     string
	key        *jose.JSONWebKey
	keyID      string
	authMethod string
	audience   string
	dpop       bool
	scopes     []string // beside that of the API
}

// config is how the gateway obtains the tokens of the API.
func (u usage) config(provider *tokenauth.Provider, credentials func() (tokenauth.Credentials, error)) tokenauth.Config {
	scope := map[bool]string{false: "esign", true: "esign/b2b"}[u.dpop]
	return tokenauth.Config{
		Provider:    provider,
		Credentials: credentials,
		AuthMethod:  tokenauth.AuthMethod(u.authMethod),
		Audience:    u.audience,
		DPoP:        u.dpop,
		Scopes:      append([]string{scope}, u.scopes...),
	}
}

// credentials are those of the gateway.
func (u usage) credentials(t *testing.T) tokenauth.Credentials {
	t.Helper()
	credentials := tokenauth.Credentials{ClientID: u.clientID, ClientSecret: tokenauth.NewSecret(u.secret)}
	if u.key != nil {
		key, err := tokenauth.ParseKey(tokenauth.NewSecret(string(pkcs8(t, *u.key))), u.keyID)
		if err != nil {
			t.Fatal(err)
		}
		credentials.Key = key
	}
	return credentials
}

// Outcomes are what comes of a setup, by provider, with or without its version:
// works, or a phrase of what check prints, or why it is not tried. "" stands for all
// providers that are not named. One that has no outcome then is left out of the table.
type outcomes map[string]string

// at is the outcome at a provider.
func (o outcomes) at(p provider) string {
	for _, name := range []string{p.name + " " + p.version, p.name} {
		if outcome, ok := o[name]; ok {
			return outcome
		}
	}
	return o[""]
}

const (
	works    = "works"
	refused  = "refused"
	notTried = "not tried: " // and the reason
)

// Providers. The mock takes any client and any credential, so that mistakes do not
// show.
const (
	keycloakName = "Keycloak"
	nodeName     = "oidc-provider"
	spring       = "Spring Authorization Server"
	mock         = "mock-oauth2-server"
)

// shows is the outcome of a mistake.
func shows(phrase string) outcomes { return outcomes{"": phrase, mock: ""} }

// but returns the outcomes, with another for a provider.
func (o outcomes) but(provider, outcome string) outcomes {
	o[provider] = outcome
	return o
}

// Some secrets and identifiers are full of what form encoding changes (RFC 6749
// section 2.3.1).
const (
	hardID      = "odd client:+/%&"
	hardSecret  = "odd secret:+/%&=\"'"
	plainSecret = "0123456789abcdefghijklmnopqrstuv"
)

const (
	secretBasic = "client_secret_basic"
	secretPost  = "client_secret_post"
)

// setups returns those that every provider is tried with. Keys are new in each run.
func setups(t *testing.T) []setup {
	t.Helper()
	return append(rightSetups(t), append(wrongSecrets(), wrongKeys(t)...)...)
}

// rightSetups returns the ways that there are to authenticate.
func rightSetups(t *testing.T) []setup {
	t.Helper()
	key, next := newKey(t), newKey(t)
	bound := keyRegistration("dpop", "esign/b2b", key)
	bound.DPoP = true
	nonce := bound
	nonce.ID, nonce.DPoPNonce = "nonce", true
	noDPoP := "the provider does not support DPoP"
	all := []setup{
		withSecret("`client_secret_basic`, with special characters", hardID, secretBasic),
		withSecret("`client_secret_post`, with special characters", hardID+" 2", secretPost),
	}
	for i := range all {
		all[i].registered.Secret, all[i].used.secret = hardSecret, hardSecret
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256} {
		s := withKey("`private_key_jwt`, "+string(alg), "key-"+string(alg), newKeyFor(t, alg))
		if alg == jose.EdDSA {
			s.want[spring] = notTried + "a client cannot be registered for this algorithm"
			s.want[mock] = "does not accept the algorithm EdDSA"
		}
		all = append(all, s)
	}
	all = append(all, setup{
		name: "tokens that are bound to a key (DPoP)", registered: &bound,
		used: usage{clientID: bound.ID, key: &key, dpop: true},
		want: outcomes{"": works, mock: noDPoP},
	}, setup{
		name: "DPoP with a nonce", registered: &nonce,
		used: usage{clientID: nonce.ID, key: &key, dpop: true},
		want: outcomes{nodeName: works},
	})

	secret, nextSecret := withSecret("secret rotated while the gateway runs", "rotated-secret", secretBasic), withSecret("", "rotated-secret", secretBasic)
	nextSecret.registered.Secret, nextSecret.used.secret = "the next secret", "the next secret"
	secret.rotated = &rotation{nextSecret.registered, nextSecret.used, outcomes{"": refused, mock: works}}
	assertion, nextAssertion := withKey("key rotated while the gateway runs", "rotated-key", key), withKey("", "rotated-key", next)
	// Spring keeps a key set until it sees a kid that is not in it.
	assertion.rotated = &rotation{nextAssertion.registered, nextAssertion.used, outcomes{"": refused, mock: works, spring: works}}
	all = append(all, secret, assertion)

	audience := withKey("assertion for the token endpoint (`audience`)", "audience", key)
	audience.used.audience = tokenEndpoint
	noKeyID := withKey("assertion without a `kid` (`key_id none`)", "no-kid", key)
	noKeyID.used.keyID = tokenauth.NoKeyID
	return append(all, audience, noKeyID)
}

// withSecret returns a setup that works, of a client with a secret.
func withSecret(name, id, method string) setup {
	r := secretRegistration(id, "esign", plainSecret, method)
	return setup{
		name: name, registered: &r, used: usage{clientID: id, secret: plainSecret, authMethod: method},
		want: outcomes{"": works},
	}
}

// withKey returns a setup that works, of a client with a key.
func withKey(name, id string, key jose.JSONWebKey) setup {
	r := keyRegistration(id, "esign", key)
	return setup{
		name: name, registered: &r, used: usage{clientID: id, key: &key},
		want: outcomes{"": works},
	}
}
