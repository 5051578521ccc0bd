package tokenauth_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestF06F07FailedRenewalKeepsTheTokenUntilItExpiresAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		start := time.Now()
		getToken(t, source)
		server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
		for time.Since(start) < 270*time.Second {
			wantBearer(t, getToken(t, source), "token-1")
			advance(time.Second)
		}
		if n := len(server.TokenRequests()); n < 3 {
			t.Errorf("%d token requests, want several attempts to renew", n)
		}
		for range 600 {
			if failure := getError(t, source); failure.Cause != tokenauth.CauseUnavailable {
				t.Fatalf("cause is %v, want unavailable", failure.Cause)
			}
			advance(time.Second)
		}
	})
}

func TestFailureIsReturnedAtOnceUntilTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusServiceUnavailable, ""))
		source := newTestSource(t, server)
		first := getError(t, source)
		if !first.RetryAt.After(time.Now()) {
			t.Fatalf("the next attempt is at %v, want later than now", first.RetryAt)
		}
		for range 100 {
			if getError(t, source) != first {
				t.Fatal("another error while holding back")
			}
		}
		wantRequests(t, server, 1)
		advance(time.Until(first.RetryAt))
		getError(t, source)
		wantRequests(t, server, 2)
	})
}

func TestF08EveryFailureIsRecoveredFrom(t *testing.T) {
	for name, fault := range map[string]func(*tokenauthtest.Server){
		"refused":            func(s *tokenauthtest.Server) { s.HandleToken(respondError(401, "invalid_client")) },
		"unavailable":        func(s *tokenauthtest.Server) { s.HandleToken(respondError(503, "")) },
		"unusable":           func(s *tokenauthtest.Server) { s.HandleToken(respondToken("", 300)) },
		"hung":               func(s *tokenauthtest.Server) { s.HandleToken(hang) },
		"discovery away":     func(s *tokenauthtest.Server) { s.HandleDiscovery(respondError(502, "")) },
		"discovery hung":     func(s *tokenauthtest.Server) { s.HandleDiscovery(hang) },
		"discovery unusable": func(s *tokenauthtest.Server) { s.HandleDiscovery(respondToken("x", 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				fault(server)
				source := newTestSource(t, server)
				for range 5 {
					advance(time.Until(getError(t, source).RetryAt))
				}
				advance(time.Hour)
				getError(t, source)
				server.HandleToken(nil)
				server.HandleDiscovery(nil)
				advance(time.Hour)
				getToken(t, source)
				// The back-off starts again at its first step.
				advance(time.Hour)
				server.HandleToken(respondError(503, ""))
				if wait := time.Until(getError(t, source).RetryAt); wait > 500*time.Millisecond {
					t.Errorf("the first failure after a success holds back for %v", wait)
				}
			})
		})
	}
}

func TestF31ReplacedCredentialsAreTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != "new" {
				tokenauthtest.WriteError(w, http.StatusUnauthorized, "unauthorized_client")
				return
			}
			tokenauthtest.WriteToken(w, "token", 300)
		})
		var secret atomic.Pointer[tokenauth.Secret]
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "c", ClientSecret: *secret.Load()}, nil
			}
		})
		secret.Store(new(tokenauth.NewSecret("old")))
		failure := getError(t, source)
		if wait := time.Until(failure.RetryAt); wait < 5*time.Second {
			t.Errorf("holds back for %v only", wait)
		}
		advance(2 * time.Second)
		getError(t, source)
		wantRequests(t, server, 1) // the same credentials are not tried again
		secret.Store(new(tokenauth.NewSecret("new")))
		advance(time.Second)
		wantBearer(t, getToken(t, source), "token")
		wantRequests(t, server, 2)
	})
}

func TestF31RotatedSecretIsUsedForTheNextToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		var secret atomic.Pointer[tokenauth.Secret]
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "c", ClientSecret: *secret.Load()}, nil
			}
		})
		secret.Store(new(tokenauth.NewSecret("old")))
		getToken(t, source)
		secret.Store(new(tokenauth.NewSecret("new")))
		advance(245 * time.Second)
		if requests := server.TokenRequests(); len(requests) != 2 || requests[0].Password != "old" || requests[1].Password != "new" {
			t.Errorf("%d token requests, the last with %q", len(requests), requests[len(requests)-1].Password)
		}
	})
}

func TestUnreadableCredentialsAreReadAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		cause := errors.New("open secret: no such file")
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				if cause != nil {
					return tokenauth.Credentials{}, cause
				}
				return testCredentials()
			}
		})
		for range 20 {
			failure := getError(t, source)
			if failure.Cause != tokenauth.CauseConfiguration || !errors.Is(failure, cause) {
				t.Fatalf("error is %v of cause %v, want that of the credentials", failure, failure.Cause)
			}
			if wait := time.Until(failure.RetryAt); wait != time.Second {
				t.Fatalf("holds back for %v, want 1 s", wait)
			}
			advance(time.Second)
		}
		wantRequests(t, server, 0)
		cause = nil
		getToken(t, source)
	})
}

func TestF37PanicFailsTheAttemptOnly(t *testing.T) {
	for name, inTransport := range map[string]bool{"credentials": false, "transport": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				broken := true
				source := newTestSource(t, server, func(c *tokenauth.Config) {
					c.Credentials = func() (tokenauth.Credentials, error) {
						if broken && !inTransport {
							panic(testClientSecret)
						}
						return testCredentials()
					}
				})
				source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if broken && inTransport {
						panic(r.Header.Get("Authorization"))
					}
					return server.Client().Transport.RoundTrip(r)
				})}})
				for range 3 {
					failure := getError(t, source)
					wantNoSecret(t, failure.Error())
					advance(time.Until(failure.RetryAt))
				}
				broken = false
				getToken(t, source)
			})
		})
	}
}

func TestF37PanicOfTheObserverHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		source := newTestSource(t, server)
		notified := 0
		source.Attach(tokenauth.Runtime{Client: server.Client(), Observe: func(tokenauth.Event) {
			notified++
			panic("of a module that somebody else wrote")
		}})
		token := getToken(t, source)
		if renew(t.Context(), source, token) == nil {
			t.Error("after a panic of the observer, there is no renewal")
		}
		synctest.Wait()
		if notified != 2 {
			t.Errorf("the observer was notified %d times, want 2", notified)
		}
	})
}

func TestF37PanicWhileHoldingBackLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
		broken := false
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials = func() (tokenauth.Credentials, error) {
				if broken {
					panic("credentials")
				}
				return testCredentials()
			}
		})
		getError(t, source)
		broken = true
		advance(2 * time.Second)
		func() {
			defer func() { _ = recover() }() // as net/http does for a handler
			_, _ = source.Token(t.Context())
		}()
		broken = false
		server.HandleToken(nil)
		advance(time.Minute)
		getToken(t, source)
	})
}

func TestVanishedTokenEndpointIsLookedUpAgain(t *testing.T) {
	redirect := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", status) }
	}
	for name, gone := range map[string]http.HandlerFunc{
		"404":                http.NotFound,
		"405":                respondError(http.StatusMethodNotAllowed, ""),
		"410":                respondError(http.StatusGone, ""),
		"301":                redirect(http.StatusMovedPermanently),
		"307":                redirect(http.StatusTemporaryRedirect),
		"refused connection": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				source := newTestSource(t, server)
				old, moved := server.Document(), server.Document()
				moved["token_endpoint"] = server.Issuer() + "/moved/protocol/openid-connect/token"
				document := old
				server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
					tokenauthtest.WriteJSON(w, http.StatusOK, document)
				})
				source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if gone == nil && r.URL.String() == old["token_endpoint"] {
						return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
					}
					return server.Client().Transport.RoundTrip(r)
				})}})
				server.HandleToken(func(w http.ResponseWriter, r *http.Request) {
					if server.Issuer()+"/protocol/openid-connect/token" == "https://"+r.Host+r.URL.Path {
						gone(w, r)
						return
					}
					tokenauthtest.WriteToken(w, "moved", 300)
				})

				// There is no other endpoint yet. The attempt reads the document once
				// more, and fails.
				failure := getError(t, source)
				if n := server.Discoveries(); n != 2 {
					t.Errorf("%d discovery requests, want a second look", n)
				}
				document = moved
				advance(time.Until(failure.RetryAt))
				wantBearer(t, getToken(t, source), "moved")
				if n := server.Discoveries(); n != 3 {
					t.Errorf("%d discovery requests, want 3", n)
				}
			})
		})
	}
}

func TestVanishedTokenEndpointIsTriedAgainIfDiscoveryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		source.Warm()
		advance(5 * time.Minute) // it has expired
		server.HandleToken(http.NotFound)
		server.HandleDiscovery(respondError(http.StatusServiceUnavailable, ""))
		failure := getError(t, source)
		if failure.Status != http.StatusNotFound {
			t.Errorf("error is %v, want the token endpoint's", failure)
		}
		server.HandleToken(nil)
		advance(time.Until(failure.RetryAt))
		getToken(t, source)
	})
}

func TestPresentTokenEndpointIsNotLookedUpAgain(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"refusal": respondError(http.StatusUnauthorized, "invalid_client"),
		"500":     respondError(http.StatusInternalServerError, ""),
		"garbage": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"timeout": hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(h)
				getError(t, newTestSource(t, server))
				if n := server.Discoveries(); n != 1 {
					t.Errorf("%d discovery requests, want 1", n)
				}
				wantRequests(t, server, 1)
			})
		})
	}
}

func TestProviderThatTakesNoneOfOurMethodsIsAConfigurationError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			document := server.Document()
			document["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
			tokenauthtest.WriteJSON(w, http.StatusOK, document)
		})
		if failure := getError(t, newTestSource(t, server)); failure.Cause != tokenauth.CauseConfiguration {
			t.Errorf("cause is %v, want configuration", failure.Cause)
		}
		wantRequests(t, server, 0)
	})
}
