package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestDiscoveryDocumentIsKeptAsLongAsItSaysWithinBounds(t *testing.T) {
	for cacheControl, want := range map[string]time.Duration{
		"":                                    time.Hour,
		"public":                              time.Hour,
		"max-age=x":                           time.Hour,
		"max-age=1800":                        30 * time.Minute,
		`public, Max-Age="1800"`:              30 * time.Minute,
		"max-age=1":                           5 * time.Minute,
		"max-age=0":                           5 * time.Minute,
		"max-age=604800":                      24 * time.Hour,
		"max-age=99999999999999999999":        24 * time.Hour,
		"no-store":                            5 * time.Minute,
		"max-age=1800, no-cache":              5 * time.Minute,
		"no-cache, must-revalidate, no-store": 5 * time.Minute,
	} {
		t.Run(cacheControl, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", cacheControl)
					tokenauthtest.WriteJSON(w, http.StatusOK, server.Document())
				})
				provider := newTestProvider(t, server)
				for n, wait := range []time.Duration{0, want - time.Millisecond, time.Millisecond} {
					advance(wait)
					if _, err := provider.Metadata(t.Context(), server.Client()); err != nil {
						t.Fatal(err)
					}
					if got, want := server.Discoveries(), 1+n/2; got != want {
						t.Fatalf("%d discovery requests after another %v, want %d", got, wait, want)
					}
				}
			})
		})
	}
}

func TestLastGoodDocumentIsKeptWhileNoNewerOneCanBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		provider := newTestProvider(t, server)
		if m, at := provider.Discovered(); m != nil || !at.IsZero() {
			t.Error("discovered before anything was read")
		}
		first, err := provider.Metadata(t.Context(), server.Client())
		if err != nil {
			t.Fatal(err)
		}
		read := time.Now()
		server.HandleDiscovery(http.NotFound)
		for range 10 {
			advance(time.Hour)
			m, err := provider.Metadata(t.Context(), server.Client())
			if err != nil || m != first {
				t.Fatalf("document is %v, error %v; want the first one", m, err)
			}
		}
		if m, at := provider.Discovered(); m != first || !at.Equal(read) {
			t.Errorf("discovered at %v, want %v", at, read)
		}
		if n := server.Discoveries(); n != 11 {
			t.Errorf("%d discovery requests, want 11", n)
		}
		// It is not read again for every use meanwhile. A new document is used as soon
		// as it is there.
		_, _ = provider.Metadata(t.Context(), server.Client())
		server.HandleDiscovery(nil)
		advance(time.Minute)
		if m, err := provider.Metadata(t.Context(), server.Client()); err != nil || m == first {
			t.Errorf("document is still the first one, error %v", err)
		}
		if n := server.Discoveries(); n != 12 {
			t.Errorf("%d discovery requests, want 12", n)
		}
	})
}

func TestHungDiscoveryDoesNotKeepTheLastGoodDocumentFromBeingUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server)
		getToken(t, source)
		advance(2 * time.Hour) // idle: both have expired
		server.HandleDiscovery(hang)
		getToken(t, source)
	})
}

func TestOutdatedDocumentIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		provider := newTestProvider(t, server)
		first, _ := provider.Metadata(t.Context(), server.Client())
		provider.Outdated(first)
		second, _ := provider.Metadata(t.Context(), server.Client())
		if first == second || server.Discoveries() != 2 {
			t.Errorf("%d discovery requests, want 2", server.Discoveries())
		}
		provider.Outdated(first) // too late: it has been replaced already
		if third, _ := provider.Metadata(t.Context(), server.Client()); third != second {
			t.Error("a late word made the newer document outdated")
		}
	})
}

func TestManyReadersCauseOneDiscoveryAndLeaveOnTheirOwnDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		release := make(chan struct{})
		server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			tokenauthtest.WriteJSON(w, http.StatusOK, server.Document())
		})
		provider := newTestProvider(t, server)
		got := make(chan error, 100)
		for range cap(got) {
			go func() {
				_, err := provider.Metadata(t.Context(), server.Client())
				got <- err
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := provider.Metadata(ctx, server.Client())
		if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseTimeout {
			t.Errorf("error is %v, want a timeout", err)
		}
		close(release)
		for range cap(got) {
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
		if n := server.Discoveries(); n != 1 {
			t.Errorf("%d discovery requests, want 1", n)
		}
	})
}

func TestF39DiscoveryFollowsNoRedirect(t *testing.T) {
	server := tokenauthtest.NewServer()
	server.HandleDiscovery(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.test/.well-known/openid-configuration", http.StatusFound)
	})
	_, err := newTestProvider(t, server).Metadata(t.Context(), server.Client())
	if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseUnusable || failure.Status != http.StatusFound {
		t.Errorf("error is %v, want one that is unusable for status 302", err)
	}
	if n := server.Discoveries(); n != 1 {
		t.Errorf("%d discovery requests, want 1", n)
	}
}

func TestDiscoveryResponseIsClassified(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   tokenauth.Cause
	}{
		"500":        {500, "", tokenauth.CauseUnavailable},
		"429":        {429, "", tokenauth.CauseUnavailable},
		"404":        {404, "", tokenauth.CauseUnusable},
		"403":        {403, "", tokenauth.CauseRefused},
		"204":        {204, "", tokenauth.CauseUnusable},
		"empty":      {200, "", tokenauth.CauseUnusable},
		"html":       {200, "<html>", tokenauth.CauseUnusable},
		"array":      {200, "[]", tokenauth.CauseUnusable},
		"null":       {200, "null", tokenauth.CauseUnusable},
		"types":      {200, `{"issuer":5}`, tokenauth.CauseUnusable},
		"very large": {200, strings.Repeat(" ", 512<<10) + "{}", tokenauth.CauseUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			server := tokenauthtest.NewServer()
			server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			_, err := newTestProvider(t, server).Metadata(t.Context(), server.Client())
			failure, ok := errors.AsType[*tokenauth.Error](err)
			if !ok || failure.Cause != c.want || failure.Status != c.status || failure.Op != "discovery" {
				t.Errorf("error is %v, want one of cause %v", err, c.want)
			}
		})
	}
}

func TestDiscoveryIsAskedForBelowTheIssuer(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://a.test":         "https://a.test/.well-known/openid-configuration",
		"https://a.test/":        "https://a.test/.well-known/openid-configuration",
		"https://a.test/realm/x": "https://a.test/realm/x/.well-known/openid-configuration",
	} {
		provider, err := tokenauth.NewProvider(issuer)
		if err != nil {
			t.Fatal(err)
		}
		if provider.Issuer() != issuer {
			t.Errorf("issuer is %q, want %q", provider.Issuer(), issuer)
		}
		var asked, cookie string
		_, err = provider.Metadata(t.Context(), &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			asked, cookie = r.Method+" "+r.URL.String(), r.Header.Get("Cookie")
			return nil, errors.New("that will do")
		})})
		if err == nil || asked != "GET "+want || cookie != "" {
			t.Errorf("%s: asked for %q, want %q", issuer, asked, want)
		}
	}
}

func TestNewProviderRefusesAnUnsafeIssuer(t *testing.T) {
	for _, issuer := range []string{"", "a.test", "http://a.test", "https://a.test?q", "https://u:p@a.test", "ftp://a.test"} {
		if _, err := tokenauth.NewProvider(issuer); err == nil {
			t.Errorf("%q: no error", issuer)
		}
	}
}

// In a network of containers, the host of a rehearsal's issuer is the name of a container.
// navikt mock-oauth2-server 6.0.2 is at http://name:8080/default.
func TestInsecureProvider(t *testing.T) {
	const issuer = "http://mock-oauth2-server:8080/default"
	for endpoint, ok := range map[string]bool{
		issuer + "/token":                          true,
		"http://MOCK-oauth2-server:8080/token":     true,
		"http://mock-oauth2-server:9090/token":     false,
		"http://mock-oauth2-server/token":          false,
		"http://other:8080/default/token":          false,
		"https://mock-oauth2-server:8080/token":    false,
		"https://auth.bankid.no/token":             false,
		"http://127.0.0.1:8080/token":              false,
		"ftp://mock-oauth2-server:8080/token":      false,
		"http://u:p@mock-oauth2-server:8080/token": false,
	} {
		provider, err := tokenauth.NewInsecureProvider(issuer)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: tokenauthtest.HandlerTransport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tokenauthtest.WriteJSON(w, 200, map[string]string{"issuer": issuer, "token_endpoint": endpoint})
		})}}
		if _, err := provider.Metadata(t.Context(), client); (err == nil) != ok {
			t.Errorf("%s: the error is %v", endpoint, err)
		}
	}
	for _, issuer := range []string{"", "a.test", "https://a.test", "http://a.test?q", "http://u:p@a.test", "ftp://a.test", "http://a.test#f"} {
		if _, err := tokenauth.NewInsecureProvider(issuer); err == nil {
			t.Errorf("%q: no error", issuer)
		}
	}
}
