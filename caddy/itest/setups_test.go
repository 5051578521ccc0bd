package itest

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A setup is one way to set up a client, right or wrong.
type setup struct {
	name       string        // in the table
	registered *registration // at the provider; nil if the client is not registered
	used       usage         // by the gateway

	// rotated is how both change while the gateway runs. It is nil if they do not.
	rotated *rotation

	// meanwhile is called after the gateway has read the provider's configuration, if it
	// is not nil.
	meanwhile func()

	// clock is by how much this machine's clock is ahead.
	clock time.Duration

	// issuer is the issuer in the gateway's configuration, "" for the provider's. If it
	// begins with "/", it is appended to the provider's.
	issuer string

	want outcomes
}

// A rotation is the new credential of a client.
type rotation struct {
	registered *registration
	used       usage
	before     outcomes // the outcome of the old credential after that: works or refused
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
	scopes     []string // in addition to the scope of the API
}

// config is the configuration of the gateway's token source for the API.
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

// credentials returns the gateway's credentials.
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

// Outcomes are the results of a setup, by provider, with or without its version: works, or a
// phrase of check's output, or why it is not tried. "" is for all providers that are not
// named. A provider without an outcome is not in the table.
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

// These are the providers. The mock accepts every client and credential, so it does not
// show mistakes.
const (
	keycloakName = "Keycloak"
	nodeName     = "oidc-provider"
	spring       = "Spring Authorization Server"
	mock         = "mock-oauth2-server"
)

// shows is the outcome of a mistake.
func shows(phrase string) outcomes { return outcomes{"": phrase, mock: ""} }

// but returns the outcomes, with another outcome for a provider.
func (o outcomes) but(provider, outcome string) outcomes {
	o[provider] = outcome
	return o
}

// These secrets and identifiers have many characters that form encoding changes (RFC 6749
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

// setups returns the setups for every provider. Keys are new in each run.
func setups(t *testing.T) []setup {
	t.Helper()
	return append(rightSetups(t), append(wrongSecrets(), wrongKeys(t)...)...)
}

// rightSetups returns setups with all authentication methods.
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
	// Spring caches a key set until it sees an unknown kid.
	assertion.rotated = &rotation{nextAssertion.registered, nextAssertion.used, outcomes{"": refused, mock: works, spring: works}}
	all = append(all, secret, assertion)

	audience := withKey("assertion for the token endpoint (`audience`)", "audience", key)
	audience.used.audience = tokenEndpoint
	noKeyID := withKey("assertion without a `kid` (`key_id none`)", "no-kid", key)
	noKeyID.used.keyID = tokenauth.NoKeyID
	return append(all, audience, noKeyID)
}

// withSecret returns a setup that works, for a client with a secret.
func withSecret(name, id, method string) setup {
	r := secretRegistration(id, "esign", plainSecret, method)
	return setup{
		name: name, registered: &r, used: usage{clientID: id, secret: plainSecret, authMethod: method},
		want: outcomes{"": works},
	}
}

// withKey returns a setup that works, for a client with a key.
func withKey(name, id string, key jose.JSONWebKey) setup {
	r := keyRegistration(id, "esign", key)
	return setup{
		name: name, registered: &r, used: usage{clientID: id, key: &key},
		want: outcomes{"": works},
	}
}
