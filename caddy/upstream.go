package caddyesign

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// resolveUpstream resolves the origin of an API. An error shows it as it was typed.
func resolveUpstream(typed string) (*url.URL, error) {
	upstream, err := resolve(typed)
	if err != nil {
		return nil, fmt.Errorf("upstream: %v", err)
	}
	u, err := parseUpstream(upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream '%s' %v", typed, err)
	}
	return u, nil
}

// parseUpstream parses and checks the origin of an API.
func parseUpstream(upstream string) (*url.URL, error) {
	u, err := url.Parse(upstream)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return nil, errors.New("is not a URL such as https://api.example.com")
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return nil, errors.New("can only have a scheme, a host and a port")
	}
	return u, tokenauth.CheckSecure(u)
}

// dialAddress returns the host and port of u.
func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
