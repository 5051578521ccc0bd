package itest

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var writeProviders = flag.Bool("providers.write", false, "whether TestProviders writes its table into the documents")

// A provider is an OpenID provider for the tests.
type provider struct {
	name, version string

	// serve waits until the provider serves, and returns its issuer.
	serve func(t *testing.T) string

	// register registers a client with the provider, or replaces it.
	register func(t *testing.T, client registration)

	more func(t *testing.T) []setup // setups that only this provider has
}

// TestProviders tries the gateway with other OpenID providers, with all their
// authentication methods, and with mistakes in the setup of a client. The results are the
// table in ../docs/providers.md, which this command writes:
//
//	go test -run '^TestProviders$' -providers.write .
//
// Then the gateway uses Keycloak, which BankID OIDC is built on, instead of BankID.
func TestProviders(t *testing.T) {
	key := newKey(t)
	older, newer := startKeycloak(t, "26.4.7", clientJWKS(t, key)), startKeycloak(t, "26.7.3", clientJWKS(t, key))
	tryProviders(t, append([]provider{keycloakProvider(newer), keycloakProvider(older)}, startProviders(t)...))
	for _, k := range []*keycloak{older, newer} {
		t.Run("gateway with Keycloak "+k.version, func(t *testing.T) { testKeycloak(t, k.serves(t), key) })
	}
}

// tryProviders tries all setups with the providers, and compares the table with what
// comes of them.
func tryProviders(t *testing.T, providers []provider) {
	t.Helper()
	results := make([][]result, len(providers))
	t.Run("with", func(t *testing.T) {
		for i, p := range providers {
			t.Run(p.name+" "+p.version, func(t *testing.T) {
				t.Parallel()
				results[i] = tryProvider(t, p)
			})
		}
	})
	if slices.ContainsFunc(results, func(r []result) bool { return r == nil }) {
		return // not all of them were tried
	}
	checkTable(t, "../docs/providers.md", slices.Concat(results...))
}

// startProviders starts the providers that are fast to start, beside each other.
func startProviders(t *testing.T) []provider {
	t.Helper()
	onMock, onSpring := startJava(t, "mockoauth2"), startJava(t, "springauth")
	return []provider{
		registering(nodeName, "9.13.3", startProcess(t, "oidcprovider", "node", "server.mjs")),
		registering(spring, "7.1.2", onSpring),
		{
			name: mock, version: "6.0.2", serve: onMock.serves,
			register: func(*testing.T, registration) {}, // it takes any client
		},
	}
}

// startJava runs the server of a Maven project.
func startJava(t *testing.T, dir string) *process {
	t.Helper()
	classpath, err := os.ReadFile(dir + "/target/classpath")
	if err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	return startProcess(t, dir, "java", "-XX:TieredStopAtLevel=1", "-cp", "target/classes:"+strings.TrimSpace(string(classpath)), "itest.Server")
}

// registering returns a provider whose process supports PUT /clients.
func registering(name, version string, p *process) provider {
	var issuer string
	return provider{
		name: name, version: version,
		serve: func(t *testing.T) string {
			issuer = p.serves(t)
			return issuer
		},
		register: func(t *testing.T, client registration) { registerAt(t, issuer, client) },
	}
}

// keycloakProvider returns Keycloak with a realm for the setups, and with a realm to disable
// and a realm to rename.
func keycloakProvider(k *keycloak) provider {
	const realm, disabledRealm, renamedRealm = "matrix", "disabled", "renamed"
	return provider{
		name: keycloakName, version: k.version,
		serve: func(t *testing.T) string {
			k.serves(t)
			k.createRealm(t, disabledRealm)
			k.changeRealm(t, disabledRealm, map[string]any{"enabled": false})
			k.createRealm(t, renamedRealm)
			return k.createRealm(t, realm, "esign", "esign/b2b", "esign/csc")
		},
		register: func(t *testing.T, client registration) { k.register(t, realm, client) },
		more: func(t *testing.T) []setup {
			disabled := withSecret("realm that is disabled", "realm", secretBasic)
			disabled.issuer, disabled.want = k.url+"/realms/"+disabledRealm, shows("is disabled there")
			renamed := withSecret("realm that is renamed while the gateway runs", "realm", secretBasic)
			renamed.issuer, renamed.want = k.url+"/realms/"+renamedRealm, shows("which may have been renamed or removed")
			renamed.meanwhile = func() { k.changeRealm(t, renamedRealm, map[string]any{"realm": "another"}) }
			return append(keycloakSetups(t), disabled, renamed)
		},
	}
}

// tryProvider tries all setups with a provider.
func tryProvider(t *testing.T, p provider) []result {
	issuer := p.serve(t)
	all := setups(t)
	if p.more != nil {
		all = append(all, p.more(t)...)
	}
	var tried []setup
	var results, untried []result
	for _, s := range all {
		want := s.want.at(p)
		if strings.HasPrefix(want, notTried) {
			untried = append(untried, result{p, s.name, want})
		} else if want != "" {
			tried = append(tried, s)
			if s.registered != nil {
				p.register(t, *s.registered)
			}
		}
	}
	said := checkSetups(t, issuer, tried)
	tryLives(t, p, issuer, tried)
	for i, s := range tried {
		if want := s.want.at(p); !strings.Contains(said[i], want) {
			t.Errorf("%s: check says\n\t%s\nwant\n\t%s", s.name, said[i], want)
		}
		results = append(results, result{p, s.name, said[i]})
	}
	return append(results, untried...)
}
