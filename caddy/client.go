package caddyesign

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
	// a secret that is written out is a warning. Required, unless there is a
	// private key.
	ClientSecret string `json:"client_secret,omitempty"`

	// The private key of `private_key_jwt`: PEM (PKCS#8, SEC 1 or PKCS#1) or a
	// JWK. Use a placeholder such as `{file./run/secrets/bankid.pem}`.
	PrivateKey string `json:"private_key,omitempty"`

	// The `kid` of the private key. Default: that of the JWK, or else the
	// thumbprint of the key (RFC 7638).
	KeyID string `json:"key_id,omitempty"`

	// The audience of client assertions. Default: the issuer.
	Audience string `json:"audience,omitempty"`

	// The private key that tokens of the API `b2b` are bound to (DPoP), in the
	// forms of `private_key`. Default: one that is generated, and never leaves
	// memory.
	DPoPKey string `json:"dpop_key,omitempty"`

	// How the client authenticates at the token endpoint: `private_key_jwt`,
	// `client_secret_basic` or `client_secret_post`. Default: the first of these
	// that goes with its credential and that the OpenID provider supports.
	AuthMethod string `json:"auth_method,omitempty"`

	// Whether the client's tokens, and what is known of the OpenID provider, are
	// shared with all servers that use the same storage and the same credential:
	// one of them asks for a token, and the others read it there. What is stored
	// is sealed with a key that is derived from the credential. Where the storage
	// does not work, each server asks by itself. Tokens for `b2b` can be shared
	// only with a `dpop_key`. Default: false.
	ShareTokens bool `json:"share_tokens,omitempty"`
}

// empty reports whether nothing of the client is configured.
func (c Client) empty() bool { return c == Client{} }

// validate reports what is wrong with the client.
func (c Client) validate() error {
	if c.ClientID == "" {
		return errors.New("client_id is missing")
	}
	if (c.ClientSecret == "") == (c.PrivateKey == "") {
		return errors.New("either client_secret or private_key is needed, and not both")
	}
	if c.KeyID != "" && c.PrivateKey == "" {
		return errors.New("key_id goes with private_key")
	}
	for name, value := range map[string]string{
		"client_id": c.ClientID, "client_secret": c.ClientSecret, "private_key": c.PrivateKey,
		"key_id": c.KeyID, "audience": c.Audience, "dpop_key": c.DPoPKey,
	} {
		if err := checkPlaceholders(value); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
	}
	if err := checkAuthMethod(c.AuthMethod); err != nil {
		return err
	}
	if c.AuthMethod != "" && (c.AuthMethod == string(tokenauth.PrivateKeyJWT)) != (c.PrivateKey != "") {
		return fmt.Errorf("auth_method %s does not go with the client's credential", c.AuthMethod)
	}
	return nil
}

// writtenOut returns which secrets of the client are written out, and so show
// in the configuration.
func (c Client) writtenOut() []string {
	var names []string
	for name, value := range map[string]string{"client_secret": c.ClientSecret, "private_key": c.PrivateKey, "dpop_key": c.DPoPKey} {
		// A JWK has braces too, so an unresolvable placeholder is no sign.
		if value != "" && len(placeholders(value)) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
	var values [5]string
	for i, field := range []struct{ name, value string }{
		{"client_id", c.ClientID},
		{"client_secret", c.ClientSecret},
		{"private_key", c.PrivateKey},
		{"key_id", c.KeyID},
		{"dpop_key", c.DPoPKey},
	} {
		value, err := resolve(field.value)
		if err != nil {
			return tokenauth.Credentials{}, fmt.Errorf("%s: %v", field.name, err)
		}
		values[i] = value
	}
	credentials := tokenauth.Credentials{ClientID: values[0], ClientSecret: tokenauth.NewSecret(values[1])}
	var err error
	if credentials.Key, err = parseKey(values[2], values[3]); err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("private_key%s: %v", from(c.PrivateKey), err)
	}
	if credentials.DPoPKey, err = parseKey(values[4], ""); err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("dpop_key%s: %v", from(c.DPoPKey), err)
	}
	return credentials, nil
}

// parseKey reads a private key, nil if there is none.
func parseKey(text, id string) (*tokenauth.Key, error) {
	if text == "" {
		return nil, nil
	}
	return tokenauth.ParseKey(tokenauth.NewSecret(text), id)
}

// from says which placeholders a value comes from, and nothing if it is written
// out.
func from(value string) string {
	if names := placeholders(value); len(names) > 0 {
		return " from {" + strings.Join(names, "}{") + "}"
	}
	return ""
}
