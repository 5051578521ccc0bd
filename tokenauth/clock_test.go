package tokenauth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// tellTime writes a Date as if the server's clock were ahead by the given time.
func tellTime(w http.ResponseWriter, ahead time.Duration) {
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
}

// newKeyServer returns a server that accepts client assertions.
func newKeyServer() *tokenauthtest.Server {
	server := tokenauthtest.NewServer()
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
		tokenauthtest.WriteJSON(w, http.StatusOK, document)
	})
	return server
}

// withKey makes the client authenticate with a new key.
func withKey(t *testing.T) func(*tokenauth.Config) {
	t.Helper()
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	return func(c *tokenauth.Config) {
		c.Credentials = func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "client", Key: key}, nil
		}
	}
}

// issuedAt returns how much the assertion of a request is dated ahead of now.
func issuedAt(t *testing.T, request tokenauthtest.TokenRequest) time.Duration {
	t.Helper()
	var claims struct{ Iat, Exp int64 }
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(request.Form.Get("client_assertion"), ".")[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Exp-claims.Iat != 60 {
		t.Fatalf("the claims are %s", payload)
	}
	return time.Unix(claims.Iat, 0).Sub(time.Now().Truncate(time.Second))
}

// A difference of some minutes is corrected. A larger one is not believed, since a single
// wrong response would lead to an assertion that is valid for too long.
func TestClockIsCorrectedByMinutesAtMost(t *testing.T) {
	for ahead, corrected := range map[time.Duration]bool{
		0: true, 20 * time.Second: true, -40 * time.Second: true, 9 * time.Minute: true, -9 * time.Minute: true,
		11 * time.Minute: false, -time.Hour: false, 24 * time.Hour: false, 365 * 24 * time.Hour: false, -30 * 365 * 24 * time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newKeyServer()
			respond := func(w http.ResponseWriter, _ *http.Request) {
				tellTime(w, ahead)
				tokenauthtest.WriteToken(w, "token", 0)
			}
			server.HandleToken(respond)
			source := newTestSource(t, server, withKey(t))
			getToken(t, source)
			getToken(t, source)
			clock := source.Status().Clock
			if !clock.Known || (clock.Ahead-ahead).Abs() > time.Second || clock.Correctable() != corrected {
				t.Errorf("%v ahead: the clock is %+v, correctable: %t", ahead, clock, clock.Correctable())
			}
			requests := server.TokenRequests()
			want := time.Duration(0)
			if corrected {
				want = ahead
			}
			if got := issuedAt(t, requests[1]); (got - want).Abs() > time.Second {
				t.Errorf("%v ahead: the assertion is dated %v ahead, want %v", ahead, got, want)
			}
			if got := issuedAt(t, requests[0]); got != 0 {
				t.Errorf("before anything was known, the assertion is dated %v ahead", got)
			}
		})
	}
}

func TestClockIsUnknownUntilTheProviderItselfTellsItsTime(t *testing.T) {
	for name, test := range map[string]struct {
		discovery, token http.HandlerFunc
		known            bool
	}{
		"no Date": {},
		"no date in it": {token: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "now")
			tokenauthtest.WriteToken(w, "token", 0)
		}},
		"kept by a cache": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, -time.Minute)
			w.Header().Set("Age", "60")
			tokenauthtest.WriteToken(w, "token", 0)
		}},
		"a page of a proxy": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			http.Error(w, "<html>", http.StatusBadGateway)
		}},
		"a login page": {discovery: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			w.WriteHeader(http.StatusOK)
		}},
		"JSON of a proxy": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteJSON(w, http.StatusServiceUnavailable, map[string]any{"status": 503, "error": "Service Unavailable"})
		}},
		"JSON of a proxy that refuses": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteJSON(w, http.StatusForbidden, map[string]any{"status": 403, "error": "Forbidden"})
		}},
		"no realm": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusNotFound, "invalid_request")
		}},
		"no POST": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusMethodNotAllowed, "invalid_request")
		}},
		"no longer there": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusGone, "invalid_request")
		}},
		"a gateway's error with a registered code": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusBadGateway, "server_error")
		}},
		"a refusal of the proof": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusBadRequest, "invalid_dpop_proof")
		}, known: true},
		"a refusal": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, time.Minute)
			tokenauthtest.WriteError(w, http.StatusBadRequest, "invalid_client")
		}, known: true},
		"a token": {token: func(w http.ResponseWriter, _ *http.Request) {
			tellTime(w, 0)
			tokenauthtest.WriteToken(w, "token", 0)
		}, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				if test.discovery != nil {
					server.HandleDiscovery(test.discovery)
				}
				server.HandleToken(test.token)
				source := newTestSource(t, server)
				_, _ = source.Token(t.Context())
				if clock := source.Status().Clock; clock.Known != test.known {
					t.Errorf("the clock is %+v", clock)
				}
			})
		})
	}
}

// decodeHeader returns the header of a JWS.
func decodeHeader(t *testing.T, jws string) string {
	t.Helper()
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}
