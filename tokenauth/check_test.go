package tokenauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// check checks a client of server. The options change the configuration.
func check(t *testing.T, server *tokenauthtest.Server, options ...func(*tokenauth.Config)) tokenauth.Report {
	t.Helper()
	config := tokenauth.Config{
		Provider: newTestProvider(t, server), Credentials: testCredentials, Scopes: []string{"esign", "esign/csc"},
	}
	for _, option := range options {
		option(&config)
	}
	report, err := tokenauth.Check(t.Context(), config, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	wantNoSecret(t, fmt.Sprintf("%+v %#v", report, report))
	return report
}

// wantHint asserts that a check failed, with text in its hint.
func wantHint(t *testing.T, report tokenauth.Report, text string) {
	t.Helper()
	if report.OK() || !strings.Contains(report.Hint, text) {
		t.Errorf("ok: %t, error: %v, hint: %q, want %q in it", report.OK(), report.Err, report.Hint, text)
	}
}

func TestCheckOfAClientThatIsFine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		report := check(t, server)
		if !report.OK() || report.Hint != "" || report.Lifetime != 5*time.Minute || report.ClientID != testClientID ||
			report.AuthMethod != tokenauth.ClientSecretBasic || !slices.Equal(report.GrantedScopes, []string{"esign", "esign/csc"}) {
			t.Errorf("the report is %+v", report)
		}
		wantRequests(t, server, 1)
	})
}

func TestCheckFindsTheScopesThatAreMissing(t *testing.T) {
	server := tokenauthtest.NewServer()
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "bearer", "expires_in": 300, "scope": "esign profile"})
	})
	report := check(t, server)
	wantHint(t, report, "has not been given these scopes")
	if !slices.Equal(report.MissingScopes, []string{"esign/csc"}) || report.Err != nil {
		t.Errorf("missing are %v, the error is %v", report.MissingScopes, report.Err)
	}
	// Keycloak refuses all scopes if one of them is not the client's.
	server = tokenauthtest.NewServer()
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		requests := server.TokenRequests()
		if strings.Contains(requests[len(requests)-1].Form.Get("scope"), "csc") {
			tokenauthtest.WriteError(w, 400, "invalid_scope")
			return
		}
		tokenauthtest.WriteToken(w, "t", 300)
	})
	report = check(t, server)
	wantHint(t, report, "has not been given this scope")
	if !slices.Equal(report.MissingScopes, []string{"esign/csc"}) {
		t.Errorf("missing are %v", report.MissingScopes)
	}
	if n := len(server.TokenRequests()); n != 3 {
		t.Errorf("%d token requests, want 3", n)
	}
}

func TestCheckHintsAtOddCredentials(t *testing.T) {
	for secret, hint := range map[string]string{
		"s3cr3t+/:%& æ":       "look whether both belong to this environment",
		"s3cr3t+/:%& æ\n":     "the client secret ends with a line break",
		"s3cr3t+/:%& æ\r\n":   "the client secret ends with a line break",
		" s3cr3t+/:%& æ":      "the client secret begins or ends with white space",
		"s3cr3t+/:%& æ\t":     "the client secret begins or ends with white space",
		`"s3cr3t+/:%& æ"`:     "the client secret stands in quotation marks",
		"\ufeffs3cr3t":        "the client secret begins with a byte order mark",
		"client_secret=x":     "the client secret begins with a name and an equals sign",
		`"`:                   "look whether both belong",
		"/run/secrets/s3cr3t": "the client secret looks like the path of a file",
		"./s3cr3t":            "the client secret looks like the path of a file",
		"file.s3cr3t":         "the client secret looks like the path of a file",
		"env.S3CR3T":          "the client secret looks like the name of a variable",
		"/s3cr3t+/0=":         "look whether both belong", // base64
	} {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		wantHint(t, check(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret(secret)}, nil
			}
		}), hint)
	}
	server := tokenauthtest.NewServer()
	server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
	wantHint(t, check(t, server, func(c *tokenauth.Config) {
		c.Credentials = func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "client ", ClientSecret: tokenauth.NewSecret("x")}, nil
		}
	}), "the client identifier begins or ends with white space")
}

// An environment variable that is not set gives an empty credential. The hint of the error
// alone says so too.
func TestHintAtEmptyCredentials(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	for hint, credentials := range map[string]tokenauth.Credentials{
		"the client identifier is empty": {ClientSecret: tokenauth.NewSecret(testClientSecret)},
		"the client secret is empty":     {ClientID: "client", DPoPKey: key},
		"ends with a line break":         {ClientID: "client", ClientSecret: tokenauth.NewSecret(testClientSecret + "\n")},
	} {
		if got := credentials.Hint(); !strings.Contains(got, hint) {
			t.Errorf("the hint at the credentials is %q, want %q in it", got, hint)
		}
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusUnauthorized, "unauthorized_client"))
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) { return credentials, nil }
		})
		failure := getError(t, source)
		if got := failure.Hint(); !strings.Contains(got, hint) {
			t.Errorf("the hint at the refusal is %q, want %q in it", got, hint)
		}
		wantNoSecret(t, fmt.Sprintf("%+v %#v %s", failure, failure, failure.Hint()))
	}
	if hint := (tokenauth.Credentials{ClientID: "client", Key: key}).Hint(); hint != "" {
		t.Errorf("of a client with a key, the hint is %q", hint)
	}
}

func TestCheckHintsAtTheKeyAndTheClock(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	withKey := func(c *tokenauth.Config) {
		c.Credentials = func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "client", Key: key}, nil
		}
	}
	for ahead, hint := range map[time.Duration]string{
		0:                "the public key must be registered",
		-2 * time.Minute: "this machine's clock differs from the provider's by 2m0s",
	} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
				document := server.Document()
				document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
				tokenauthtest.WriteJSON(w, 200, document)
			})
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
				tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
			})
			report := check(t, server, withKey)
			wantHint(t, report, hint)
			if report.AssertionAlgorithm != "ES256" || report.AssertionKeyID != key.ID() {
				t.Errorf("the algorithm is %q, the kid %q", report.AssertionAlgorithm, report.AssertionKeyID)
			}
			// The error alone has the same hint.
			if report.Err.Hint() != report.Hint {
				t.Errorf("the error hints %q, the report %q", report.Err.Hint(), report.Hint)
			}
		})
	}
}

func TestCheckHintsAtTheClockForProofs(t *testing.T) {
	for code, hint := range map[string]string{
		"invalid_dpop_proof": "this machine's clock differs from the provider's by 1m",
		"invalid_client":     "look whether both belong to this environment", // the secret is not signed
	} {
		synctest.Test(t, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
				tokenauthtest.WriteError(w, http.StatusBadRequest, code)
			})
			wantHint(t, check(t, server, func(c *tokenauth.Config) { c.DPoP = true }), hint)
		})
	}
}

func TestCheckOfWhatIsNotConfiguredWell(t *testing.T) {
	server := tokenauthtest.NewServer()
	report := check(t, server, func(c *tokenauth.Config) {
		c.Credentials = func() (tokenauth.Credentials, error) { return tokenauth.Credentials{}, errors.New("no such file") }
	})
	if report.OK() || report.Err.Cause != tokenauth.CauseConfiguration || len(server.TokenRequests()) != 0 {
		t.Errorf("the report is %+v", report)
	}
	if _, err := tokenauth.Check(t.Context(), tokenauth.Config{}, nil); err == nil {
		t.Error("an empty configuration is valid")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := tokenauth.Check(ctx, tokenauth.Config{Provider: newTestProvider(t, server), Credentials: testCredentials}, server.Client())
	if err != nil || report.OK() {
		t.Errorf("a check that was given up is ok: %t, %v", report.OK(), err)
	}
}

// refusing returns the URL of a server on loopback that has been closed.
func refusing(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	server.Close()
	return server.URL
}

// oauth2-mock-server 8.2.3 lists only the method none, and accepts secrets. The example of
// zitadel/oidc 3.51.17 lists only RS256.
func TestHintsAtWhatTheProviderDoesNotList(t *testing.T) {
	for name, test := range map[string]struct {
		lists       string
		values      []string
		key         string // PEM or JWK; "" for a secret
		text, hints string
	}{
		"no method":            {"token_endpoint_auth_methods_supported", []string{"none"}, "", `lists ["none"]`, "set auth_method"},
		"no method of a key":   {"token_endpoint_auth_methods_supported", []string{"client_secret_basic"}, hintKey, `lists ["client_secret_basic"]`, "set auth_method"},
		"no algorithm of that": {"token_endpoint_auth_signing_alg_values_supported", []string{"RS256"}, hintKey, `but ["RS256"]`, "use a key of another type"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
					document := server.Document()
					document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt", "client_secret_basic"}
					document[test.lists] = test.values
					tokenauthtest.WriteJSON(w, 200, document)
				})
				report := check(t, server, func(c *tokenauth.Config) {
					if test.key == "" {
						return
					}
					key, err := tokenauth.ParseKey(tokenauth.NewSecret(test.key), "")
					if err != nil {
						t.Fatal(err)
					}
					c.Credentials = func() (tokenauth.Credentials, error) {
						return tokenauth.Credentials{ClientID: testClientID, Key: key}, nil
					}
				})
				wantHint(t, report, test.hints)
				if !strings.Contains(report.Err.Error(), test.text) {
					t.Errorf("the error is %v, want %s in it", report.Err, test.text)
				}
				wantRequests(t, server, 0)
			})
		})
	}
}

func TestHintsIfNobodyRespondsProperly(t *testing.T) {
	plain := tokenauthtest.NewHTTPServer()
	defer plain.Close()
	secure := tokenauthtest.NewTLSServer()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	later := func() time.Time { return secure.Certificate().NotAfter.AddDate(1, 0, 0) }
	proxy, err := url.Parse(refusing(t))
	if err != nil {
		t.Fatal(err)
	}
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer login.Close()
	loginProxy, err := url.Parse(login.URL)
	if err != nil {
		t.Fatal(err)
	}
	refusingTLS := func(config *tls.Config) string {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
		server.TLS = config
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL
	}
	through := func(status int, typed bool) *http.Client {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		proxy, err := url.Parse(strings.Replace(server.URL, "http://", "http://gateway:planted@", 1))
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
		if typed {
			transport.OnProxyConnectResponse = tokenauth.CheckEgressResponse
		}
		return &http.Client{Transport: transport}
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}}
	socks := func(err string) *http.Client {
		return &http.Client{Transport: failing(&net.OpError{Op: "socks connect", Net: "tcp", Err: errors.New(err)})}
	}
	byName := strings.Replace(secure.Issuer(), "127.0.0.1", "localhost", 1)
	for name, test := range map[string]struct {
		issuer string
		client *http.Client
		hint   string
	}{
		"name":                         {"https://issuer.test", &http.Client{Transport: failing(&net.DNSError{Err: "no such host", Name: "issuer.test", IsNotFound: true})}, "the DNS has no host"},
		"no DNS":                       {"https://issuer.test", resolving(syscall.ENETUNREACH), "the DNS does not respond"},
		"slow DNS":                     {"https://issuer.test", resolving(os.ErrDeadlineExceeded), "the DNS does not respond"},
		"no network":                   {"https://issuer.test", &http.Client{Transport: failing(syscall.ENETUNREACH)}, "no route to the issuer"},
		"no host":                      {"https://issuer.test", &http.Client{Transport: failing(syscall.EHOSTUNREACH)}, "no route to the issuer"},
		"refused":                      {refusing(t), new(http.Client), "nothing listens"},
		"proxy":                        {"https://issuer.test", &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}, "egress proxy cannot be reached"},
		"proxy login":                  {"https://issuer.test", &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(loginProxy)}}, "the egress proxy wants a user and a password"},
		"proxy forbids":                {"https://issuer.test", through(403, true), "the egress proxy does not let this machine connect"},
		"proxy forbids, by text":       {"https://issuer.test", through(403, false), "the egress proxy does not let this machine connect"},
		"proxy login, typed":           {"https://issuer.test", through(407, true), "the egress proxy wants a user and a password"},
		"proxy fails":                  {"https://issuer.test", through(502, true), "the egress proxy cannot connect to the issuer"},
		"proxy fails, by text":         {"https://issuer.test", through(504, false), "the egress proxy cannot connect to the issuer"},
		"proxy is odd":                 {"https://issuer.test", through(599, true), "the egress proxy cannot connect to the issuer"},
		"SOCKS login":                  {"https://issuer.test", socks("username/password authentication failed"), "the egress proxy wants a user and a password"},
		"SOCKS forbids":                {"https://issuer.test", socks("unknown error connection not allowed by ruleset"), "the egress proxy does not let"},
		"SOCKS fails":                  {"https://issuer.test", socks("unknown error host unreachable"), "the egress proxy cannot connect"},
		"not permitted":                {"https://issuer.test", &http.Client{Transport: failing(syscall.EACCES)}, "does not permit the connection"},
		"exhausted":                    {"https://issuer.test", &http.Client{Transport: failing(syscall.EMFILE)}, "no file descriptor"},
		"old TLS":                      {refusingTLS(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), trusting, "no TLS version or cipher suite in common"},
		"TLS with client certificates": {refusingTLS(&tls.Config{ClientAuth: tls.RequireAnyClientCert}), trusting, "wants a client certificate"},
		"TLS for other names":          {refusingTLS(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return new(tls.Config), nil }}), trusting, "does not know the issuer's host name"},
		"TLS in trouble":               {refusingTLS(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}), trusting, "TLS with the server at the issuer's address has failed"},
		"certificate":                  {secure.Issuer(), new(http.Client), "from an authority that this machine does not trust"},
		"other host":                   {byName, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, "the certificate of another host"},
		"expired":                      {secure.Issuer(), &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Time: later}}}, "look at the clock"},
		"no TLS":                       {"https" + strings.TrimPrefix(plain.Issuer(), "http"), new(http.Client), "does not speak TLS"},
		"timeout":                      {"https://issuer.test", &http.Client{Transport: failing(context.DeadlineExceeded)}, "does not respond"},
		"reset":                        {"https://issuer.test", &http.Client{Transport: failing(errors.New("connection reset"))}, "cannot be reached"},
		"realm":                        {"https://issuer.test", responding(404, "{}"), "there is no OpenID provider"},
		"other":                        {"https://issuer.test", responding(200, `{"issuer":"https://other.test","token_endpoint":"https://other.test/t"}`), "is not the provider of that name"},
		"forbidden":                    {"https://issuer.test", responding(403, ""), "look for a proxy in between"},
		"trouble":                      {"https://issuer.test", responding(503, ""), "trouble of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			provider, err := tokenauth.NewProvider(test.issuer)
			if err != nil {
				t.Fatal(err)
			}
			report, err := tokenauth.Check(t.Context(), tokenauth.Config{Provider: provider, Credentials: testCredentials}, test.client)
			if err != nil {
				t.Fatal(err)
			}
			wantHint(t, report, test.hint)
		})
	}
}

// resolving returns a client whose DNS server cannot be reached, because of err.
func resolving(err error) *http.Client {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: err}
	}}
	return &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}}
}

// failing is a round tripper that fails.
func failing(err error) roundTripFunc {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// responding returns a client that gets the same response to every request.
func responding(status int, body string) *http.Client {
	return &http.Client{Transport: tokenauthtest.HandlerTransport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})}}
}
