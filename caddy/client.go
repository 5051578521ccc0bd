package caddyesign

import (
	"errors"
	"fmt"
	"slices"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Client is a client that is registered with BankID OIDC. Each environment
// needs one of its own.
//
// The values may hold the placeholders `{env.*}` and `{file.*}`. They are kept
// as written, and resolved at every token request: a rotated secret needs no
// reload, and no secret shows in a configuration that is adapted, exported or
// saved.
type Client struct {
	// The client identifier. Required.
	ClientID string `json:"client_id,omitempty"`

	// The client secret. Use a placeholder such as `{file./run/secrets/bankid}`;
	// a secret that is written out is a warning. Required.
	ClientSecret string `json:"client_secret,omitempty"`

	// How the client authenticates at the token endpoint: `client_secret_basic`
	// or `client_secret_post`. Default: the first of these that the OpenID
	// provider says it supports.
	AuthMethod string `json:"auth_method,omitempty"`
}

// empty reports whether nothing of the client is configured.
func (c Client) empty() bool { return c == Client{} }

// validate reports what is wrong with the client.
func (c Client) validate() error {
	if c.ClientID == "" {
		return errors.New("client_id is missing")
	}
	if c.ClientSecret == "" {
		return errors.New("client_secret is missing")
	}
	if err := checkPlaceholders(c.ClientID); err != nil {
		return fmt.Errorf("client_id: %v", err)
	}
	if err := checkPlaceholders(c.ClientSecret); err != nil {
		return fmt.Errorf("client_secret: %v", err)
	}
	return checkAuthMethod(c.AuthMethod)
}

// checkAuthMethod reports an error if method is given and unknown.
func checkAuthMethod(method string) error {
	if method != "" && !slices.Contains(tokenauth.AuthMethods(), tokenauth.AuthMethod(method)) {
		return fmt.Errorf("unknown auth_method '%s': must be one of %v", method, tokenauth.AuthMethods())
	}
	return nil
}

// credentials resolves the client's credentials.
func (c Client) credentials() (tokenauth.Credentials, error) {
	id, err := resolve(c.ClientID)
	if err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("client_id: %v", err)
	}
	secret, err := resolve(c.ClientSecret)
	if err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("client_secret: %v", err)
	}
	return tokenauth.Credentials{ClientID: id, ClientSecret: tokenauth.NewSecret(secret)}, nil
}
