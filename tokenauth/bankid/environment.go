package bankid

import (
	"net/url"
	"slices"
	"strings"
)

// An Environment is one installation of BankID: the OpenID provider that issues tokens,
// and the hosts that accept them. BankID's two systems use different names: "current" of
// BankID OIDC belongs to "preprod" of eSign.
type Environment struct {
	// Name is the name in a configuration: "production", "current" or "sandbox".
	Name string

	// Issuer is the issuer identifier of the OpenID provider, without a trailing slash.
	// The provider's configuration is at
	// Issuer + "/.well-known/openid-configuration".
	Issuer string

	// CSC is the origin of the personal CSC API.
	CSC string

	// ESign is the origin of all other APIs: SignDoc, timestamping and B2B.
	ESign string
}

// Issuers: https://developer.bankid.no/bankid-esign-provider/getting-started.
// Hosts: the servers of the OpenAPI documents of each API
// (…/apis/csc/csc-v2.0.external.json, …/apis/signdoc/v1/convert.external.yaml,
// …/apis/timestamp/v1/lta.yaml, below the same site).
var (
	// Production makes legally binding signatures.
	Production = Environment{
		Name:   "production",
		Issuer: "https://auth.bankid.no/auth/realms/prod",
		CSC:    "https://csc-gw.esign-stoe.cloud",
		ESign:  "https://api.esign-stoe.cloud",
	}

	// Current is the public test environment.
	Current = Environment{
		Name:   "current",
		Issuer: "https://auth.current.bankid.no/auth/realms/current",
		CSC:    "https://csc-gw.preprod.esign-stoetest.cloud",
		ESign:  "https://api.preprod.esign-stoetest.cloud",
	}

	// Sandbox is a simulated BankID on this machine (package sandbox).
	Sandbox = Environment{
		Name:   "sandbox",
		Issuer: "http://127.0.0.1:9771/auth/realms/sandbox",
		CSC:    "http://127.0.0.1:9771",
		ESign:  "http://127.0.0.1:9771",
	}
)

// Environments lists the environments that a configuration can name.
func Environments() []Environment {
	return []Environment{Production, Current, Sandbox}
}

// EnvironmentByName returns the environment with the given name. It reports false if there
// is none.
func EnvironmentByName(name string) (Environment, bool) {
	for _, env := range Environments() {
		if env.Name == name {
			return env, true
		}
	}
	return Environment{}, false
}

// Origin returns the scheme, host and port at which api is served.
func (e Environment) Origin(api API) string {
	if api == CSC {
		return e.CSC
	}
	return e.ESign
}

// domains are the domains of BankID's hosts, also those of its public pages and older
// services.
var domains = []string{
	"bankid.no", "bankidapis.no", "bankidnorge.no", "stoe.no",
	"esign-stoe.cloud", "esign-stoetest.cloud", "esign-stoedev.cloud",
}

// Owns reports whether host is a host of BankID. host has no port.
func Owns(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(domains, func(domain string) bool {
		return host == domain || strings.HasSuffix(host, "."+domain)
	})
}

// Elsewhere reports whether baseURL, such as "esign-baseurl" of the discovery document, is
// not on a host of the environment. It reports false if baseURL is empty, or if the
// environment has no Name, since its hosts are not known then.
func (e Environment) Elsewhere(baseURL string) bool {
	if e.Name == "" || baseURL == "" {
		return false
	}
	base, err := url.Parse(baseURL)
	return err != nil || !slices.Contains([]string{e.CSC, e.ESign}, base.Scheme+"://"+base.Host)
}
