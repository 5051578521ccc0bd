// Command oauth2proxy is a simple alternative to the gateway: the standard library's
// reverse proxy with golang.org/x/oauth2.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	listen := flag.String("listen", "", "the `addresses` to listen on, separated by commas")
	upstream := flag.String("upstream", "", "the `URL` to proxy to")
	tokenURL := flag.String("token-url", "", "the `URL` of the token endpoint")
	flag.Parse()
	target, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	config := clientcredentials.Config{ClientID: "bench", ClientSecret: os.Getenv("BENCH_SECRET"), TokenURL: *tokenURL, AuthStyle: oauth2.AuthStyleInHeader}
	// Caddy keeps as many idle connections. The default is two.
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost, base.DisableCompression = 32, true
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &oauth2.Transport{Source: config.TokenSource(context.Background()), Base: base},
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error)
	for address := range strings.SplitSeq(*listen, ",") {
		server := &http.Server{Addr: address, Handler: proxy, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
		go func() { ended <- server.ListenAndServe() }()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
