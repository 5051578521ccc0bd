package tokenauth_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestErrorSaysWhatIsKnown(t *testing.T) {
	cause := errors.New("no route to host")
	for want, e := range map[string]*tokenauth.Error{
		"discovery failed":                                                  {Op: "discovery"},
		"discovery failed: no route to host":                                {Op: "discovery", Err: cause},
		"token request failed: HTTP status 401: invalid_client":             {Op: "token request", Status: 401, Code: "invalid_client"},
		"token request failed: HTTP status 307: redirects are not followed": {Op: "token request", Status: 307, Err: errors.New("redirects are not followed")},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !errors.Is(&tokenauth.Error{Err: cause}, cause) {
		t.Error("the cause is not unwrapped")
	}
}

func TestCausesHaveNames(t *testing.T) {
	want := []string{"unavailable", "timeout", "refused", "unusable", "configuration", "unknown"}
	for cause, name := range want {
		if got := tokenauth.Cause(cause).String(); got != name {
			t.Errorf("%d is %q, want %q", cause, got, name)
		}
	}
}

func TestF34ErrorDoesNotRepeatTheResponse(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"error code": echo(func(w http.ResponseWriter, s string) { tokenauthtest.WriteError(w, 401, s) }),
		"error description": echo(func(w http.ResponseWriter, s string) {
			tokenauthtest.WriteJSON(w, 400, map[string]string{"error": "invalid_client", "error_description": s})
		}),
		"body": echo(func(w http.ResponseWriter, s string) { fmt.Fprint(w, s) }),
		"JSON": echo(func(w http.ResponseWriter, s string) { fmt.Fprintf(w, `{"access_token":%q,"expires_in":oops}`, s) }),
		"token type": echo(func(w http.ResponseWriter, s string) {
			tokenauthtest.WriteJSON(w, 200, map[string]string{"access_token": "t", "token_type": s})
		}),
		"location": echo(func(w http.ResponseWriter, s string) {
			w.Header()["Location"] = []string{"https://[::1/?" + s}
			w.WriteHeader(http.StatusFound)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(h)
				failure := getError(t, newTestSource(t, server, func(c *tokenauth.Config) { c.AuthMethod = tokenauth.ClientSecretPost }))
				wantNoSecret(t, failure.Error())
				wantNoSecret(t, fmt.Sprintf("%v %+v %#v", failure, *failure, failure))
			})
		})
	}
}

// echo is a handler that responds with the client's secret.
func echo(response func(w http.ResponseWriter, secret string)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { response(w, testClientSecret) }
}

func TestF34ErrorDoesNotRepeatWhatIsNotHTTP(t *testing.T) {
	for name, response := range map[string]string{
		"no status line": "%s\r\n\r\n",
		"status":         "HTTP/1.1 %s OK\r\n\r\n",
		"version":        "HTTP/%s 200 OK\r\n\r\n",
		"header line":    "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"header name":    "HTTP/1.1 200 OK\r\n%s: x\r\n\r\n",
		"content length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"trailer":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			source := newTestSource(t, server)
			transport := &http.Transport{Dial: func(string, string) (net.Conn, error) { //nolint:staticcheck // needs no context
				client, peer := net.Pipe()
				go func() {
					defer peer.Close()
					if r, err := http.ReadRequest(bufio.NewReader(peer)); err == nil {
						_, _ = io.Copy(io.Discard, r.Body)
						fmt.Fprintf(peer, response, strings.ReplaceAll(testClientSecret, " ", "_"))
					}
				}()
				return client, nil
			}}
			defer transport.CloseIdleConnections()
			source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					return server.Client().Transport.RoundTrip(r)
				}
				r.URL.Scheme = "http"
				return transport.RoundTrip(r)
			})}})
			failure := getError(t, source)
			if strings.Contains(failure.Error(), "s3cr3t") {
				t.Errorf("the error is %q", failure)
			}
		})
	}
}

func TestErrorAsJSON(t *testing.T) {
	for want, e := range map[string]*tokenauth.Error{
		`{"cause":"refused","status":401,"code":"invalid_client","text":"token request failed: HTTP status 401: invalid_client"}`: {
			Op: "token request", Cause: tokenauth.CauseRefused, Status: 401, Code: "invalid_client",
		},
		`{"cause":"timeout","text":"discovery failed: no response"}`: {
			Op: "discovery", Cause: tokenauth.CauseTimeout, Err: errors.New("no response"),
		},
	} {
		if got, err := json.Marshal(e); err != nil || string(got) != want {
			t.Errorf("it is %s, %v, want %s", got, err, want)
		}
	}
}

func TestRefusesClient(t *testing.T) {
	for _, test := range []struct {
		err  tokenauth.Error
		want bool
	}{
		{tokenauth.Error{Cause: tokenauth.CauseRefused, Status: 401}, true},
		{tokenauth.Error{Cause: tokenauth.CauseRefused, Status: 400, Code: "invalid_client"}, true},
		{tokenauth.Error{Cause: tokenauth.CauseRefused, Status: 400, Code: "unauthorized_client"}, true},
		{tokenauth.Error{Cause: tokenauth.CauseRefused, Status: 400, Code: "invalid_scope"}, false},
		{tokenauth.Error{Cause: tokenauth.CauseUnusable, Status: 401}, false},
	} {
		if got := test.err.RefusesClient(); got != test.want {
			t.Errorf("%v: %t", &test.err, got)
		}
	}
}
