// Command clocks uses a token source while the wall clock jumps, and prints the results. It is
// built with a package time whose WallOffset is by how many seconds the wall clock is ahead
// of the machine's. The monotonic clock does not change.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func main() {
	issuer := tokenauthtest.NewHTTPServer()
	defer issuer.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer api.Close()
	source, transport := newTransport(issuer, api.URL)
	defer source.Close()

	say := func(what string) {
		status := source.Status()
		left := max(status.ExpiresAt.Round(0).Sub(time.Now().Round(0)), 0).Round(30 * time.Second)
		fmt.Printf("%s: %s, some %s left; a large upload has %s\n", what, status.State, left, upload(transport, api.URL))
	}
	upload(transport, api.URL)
	say("at first")
	time.WallOffset.Add(3600) // as after a suspension of an hour
	say("an hour later")
	time.WallOffset.Add(-7200)
	say("set back by two hours")

	issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	time.WallOffset.Add(3 * 3600)
	say("forward again, while the issuer is away")
	issuer.HandleToken(nil)
	say("when the issuer is back")
	time.WallOffset.Add(600)
	say("after the ten minutes it has asked for")
}

// newTransport returns a source of issuer's tokens, and a transport that sends them to the
// API at origin.
func newTransport(issuer *tokenauthtest.Server, origin string) (*tokenauth.Source, *gateway.Transport) {
	provider, err := tokenauth.NewProvider(issuer.Issuer())
	if err != nil {
		log.Fatal(err)
	}
	source, err := tokenauth.NewSource(tokenauth.Config{Provider: provider, Credentials: func() (tokenauth.Credentials, error) {
		return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret("secret")}, nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	source.Attach(tokenauth.Runtime{})
	u, err := url.Parse(origin)
	if err != nil {
		log.Fatal(err)
	}
	return source, &gateway.Transport{
		Base: http.DefaultTransport, Origin: u, Sources: map[string]*tokenauth.Source{"api": source},
		Table: gateway.NewTable(gateway.Call{Method: "POST", Path: "/upload", Group: "api", Kind: gateway.Bearer}),
	}
}

// upload makes a call with a large body. It returns the authorization that the API saw, or the
// error.
func upload(transport *gateway.Transport, origin string) string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, origin+"/upload", strings.NewReader(strings.Repeat("x", 1<<20)))
	if err != nil {
		log.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "none: " + err.Error()
	}
	defer res.Body.Close()
	seen, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(seen)
}
