package itest

import (
	"testing"
	"time"
)

// wrongSecrets returns mistakes with a secret, and mistakes that are possible with any client.
func wrongSecrets() []setup {
	const (
		noClient  = "the issuer does not know this client, or not with this credential"
		noScope   = "the client has not been given"
		noGrant   = "use the client credentials grant: have it switched on"
		noAddress = "there is no OpenID provider at the issuer's URL"
	)
	change := func(s setup, want outcomes, change func(*setup)) setup {
		s.want = want
		change(&s)
		return s
	}
	return []setup{
		change(withSecret("wrong secret, by `client_secret_basic`", "wrong-basic", secretBasic),
			shows(noClient).but(keycloakName, "not with this secret"),
			func(s *setup) { s.used.secret = "another-secret" }),
		change(withSecret("wrong secret, by `client_secret_post`", "wrong-post", secretPost),
			shows(noClient).but(keycloakName, "not with this secret"),
			func(s *setup) { s.used.secret = "another-secret" }),
		change(withSecret("client of another environment, with a secret", "unknown-secret", secretBasic),
			shows(noClient), func(s *setup) { s.registered = nil }),
		change(withSecret("registered for `client_secret_post`, used by `client_secret_basic`", "post", secretPost),
			shows(works).but(spring, "needs that as its auth_method"),
			func(s *setup) { s.used.authMethod = secretBasic }),
		change(withSecret("registered for `client_secret_basic`, used by `client_secret_post`", "basic", secretBasic),
			shows(works).but(spring, "needs that as its auth_method"),
			func(s *setup) { s.used.authMethod = secretPost }),
		change(withSecret("scope that the client has not been given", "scope", secretBasic),
			shows(noScope), func(s *setup) { s.used.scopes = []string{"esign/csc"} }),
		change(withSecret("scope that the provider does not know", "unknown-scope", secretBasic),
			shows(noScope), func(s *setup) { s.used.scopes = []string{"esign/nnin"} }),
		change(withSecret("client that may not use client credentials", "grant", secretBasic),
			shows(noGrant), func(s *setup) {
				s.registered.GrantTypes, s.registered.ResponseTypes = []string{"authorization_code"}, []string{"code"}
				s.registered.RedirectURIs = []string{"https://client.example/"}
			}),
		change(withSecret("issuer with a slash too much", "slash", secretBasic),
			outcomes{"": "write the issuer exactly as the provider does"}, func(s *setup) { s.issuer = "/" }),
		change(withSecret("issuer with a path that does not exist", "path", secretBasic),
			outcomes{"": noAddress, mock: works}, func(s *setup) { s.issuer = "/nowhere" }),
	}
}

// wrongKeys returns mistakes with a key.
func wrongKeys(t *testing.T) []setup {
	t.Helper()
	const (
		noClient = "the issuer does not know this client, or not with this key"
		clock    = "this machine's clock"
	)
	key, other := newKey(t), newKey(t)
	change := func(name, id, phrase string, change func(*setup)) setup {
		s := withKey(name, id, key)
		s.want = shows(phrase)
		if phrase == clock {
			s.want[nodeName], s.want[spring] = works, works // their Date corrects this machine's clock
		}
		change(&s)
		return s
	}
	return []setup{
		change("client of another environment, with a key", "unknown-key", noClient, func(s *setup) {
			s.registered = nil
		}),
		change("registered with a key, used with a secret", "key", "the issuer does not know this client, or not with this credential", func(s *setup) {
			s.want[keycloakName] = "the client is not registered for the authentication method client_secret_basic"
			s.used = usage{clientID: "key", secret: plainSecret, authMethod: secretBasic}
		}),
		change("registered with a secret, used with a key", "secret", noClient, func(s *setup) {
			r := secretRegistration("secret", "esign", plainSecret, secretBasic)
			s.registered = &r
		}),
		change("another key than is registered", "other-key", noClient, func(s *setup) {
			s.used.key = &other
		}),
		change("key registered under another `kid`", "other-kid", noClient, func(s *setup) {
			s.used.keyID = "another"
		}),
		change("registered for another algorithm than the key's", "other-alg", noClient, func(s *setup) {
			s.want[keycloakName] = "does not accept the algorithm ES256"
			s.registered.SigningAlg = "RS256"
		}),
		change("assertion for another audience", "other-audience", "audience", func(s *setup) {
			s.used.audience = "https://provider.example"
		}),
		change("tokens must be bound to a key, used without DPoP", "bound", "may demand DPoP for this client", func(s *setup) {
			s.registered.DPoP = true
			s.want[spring] = "" // Spring cannot demand this
		}),
		change("not registered for DPoP, used with it", "unbound", works, func(s *setup) {
			s.registered.Scope, s.used.dpop = "esign/b2b", true
			s.want[mock] = "the provider does not support DPoP"
		}),
		change("clock two minutes ahead, with a key", "ahead", clock, func(s *setup) {
			s.clock = 2 * time.Minute
		}),
		change("clock two minutes behind, with a key", "behind", clock, func(s *setup) {
			s.clock = -2 * time.Minute
		}),
		change("clock two minutes ahead, with a secret and DPoP", "ahead-dpop", clock, func(s *setup) {
			r := secretRegistration("ahead-dpop", "esign/b2b", plainSecret, secretBasic)
			s.registered, s.used = &r, usage{clientID: "ahead-dpop", secret: plainSecret, dpop: true}
			s.clock = 2 * time.Minute
		}),
		change("clock two minutes behind, with a secret and DPoP", "behind-dpop", clock, func(s *setup) {
			r := secretRegistration("behind-dpop", "esign/b2b", plainSecret, secretBasic)
			s.registered, s.used = &r, usage{clientID: "behind-dpop", secret: plainSecret, dpop: true}
			s.clock = -2 * time.Minute
		}),
	}
}
