package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Client is a client that is registered with BankID OIDC. Each environment needs its
// own client.
//
// The values may contain the placeholders `{env.*}` and `{file.*}`. Placeholders are
// kept as written, and resolved at every token request. So a rotated secret needs no
// reload, and no secret shows in a configuration that is adapted, exported or saved.
type Client struct {
	// The client identifier. Required.
	ClientID string `json:"client_id,omitempty"`

	// The client secret. Use a placeholder such as `{file./run/secrets/bankid}`; a
	// secret that is written out causes a warning. Required, unless there is a private
	// key.
	ClientSecret string `json:"client_secret,omitempty"`

	// The private key of `private_key_jwt`: PEM (PKCS#8, SEC 1 or PKCS#1) or a
	// JWK. Use a placeholder such as `{file./run/secrets/bankid.pem}`.
	PrivateKey string `json:"private_key,omitempty"`

	// A module that holds the private key of `private_key_jwt`, such as one for an HSM,
	// instead of `private_key`.
	PrivateKeyRaw json.RawMessage `json:"private_key_module,omitempty" caddy:"namespace=bankid_esign.keys inline_key=module"`

	// The `kid` of the private key, or `none` if assertions are to have no `kid`.
	// Default: the `kid` of the JWK, or else the thumbprint of the key (RFC 7638).
	KeyID string `json:"key_id,omitempty"`

	// The audience of client assertions, which names the OpenID provider: its issuer
	// identifier or the URL of its token endpoint. It can be given only with
	// `private_key`. Default: the issuer.
	Audience string `json:"audience,omitempty"`

	// The private key that tokens of the API `b2b` are bound to (DPoP), in one of the
	// forms of `private_key`. Default: a generated key, which never leaves memory.
	DPoPKey string `json:"dpop_key,omitempty"`

	// A module that holds this key, instead of `dpop_key`. It signs every call to `b2b`.
	DPoPKeyRaw json.RawMessage `json:"dpop_key_module,omitempty" caddy:"namespace=bankid_esign.keys inline_key=module"`

	// How the client authenticates at the token endpoint: `private_key_jwt`,
	// `client_secret_basic` or `client_secret_post`. Default: the first of these that
	// fits the client's credential and that the OpenID provider supports.
	AuthMethod string `json:"auth_method,omitempty"`

	// Whether the client's tokens, and the configuration of the OpenID provider, are
	// shared with all servers that use the same storage and the same credential: one
	// server asks for a token, and the others read it from the storage. What is stored
	// is encrypted with a key that is derived from the credential. If the storage does
	// not work, each server asks by itself. Tokens for `b2b` can be shared only with a
	// `dpop_key`. Default: false.
	ShareTokens bool `json:"share_tokens,omitempty"`

	// The secret that shared tokens are encrypted with, instead of the credential: at
	// least 32 random characters, the same on all servers. Use a placeholder such as
	// `{file./run/secrets/share}`. Required if tokens are shared and a module holds the
	// private key.
	ShareSecret string `json:"share_secret,omitempty"`

	privateKey, dpopKey KeyHolder // of the modules; nil without a module
}

// defaultClient is the name of the default client where a name is needed.
const defaultClient = "default"

// empty reports whether no field of the client is set.
func (c Client) empty() bool { return reflect.ValueOf(c).IsZero() }

// validate returns an error if the client's fields are incomplete or contradict each
// other.
func (c Client) validate() error {
	if c.ClientID == "" {
		return errors.New("client_id is missing")
	}
	if c.PrivateKey != "" && c.PrivateKeyRaw != nil || c.DPoPKey != "" && c.DPoPKeyRaw != nil {
		return errors.New("a key is given by a module or by its value, and not by both")
	}
	if (c.ClientSecret == "") != c.hasKey() {
		return errors.New("either client_secret or private_key is needed, and not both")
	}
	if c.KeyID != "" && !c.hasKey() {
		return errors.New("key_id needs private_key")
	}
	if c.Audience != "" && !c.hasKey() {
		return errors.New("audience needs private_key: it is the audience of client assertions")
	}
	for _, field := range c.fields() {
		if err := field.check(); err != nil {
			return fmt.Errorf("%s: %v", field.name, err)
		}
	}
	if err := checkAuthMethod(c.AuthMethod); err != nil {
		return err
	}
	if c.AuthMethod != "" && (c.AuthMethod == string(tokenauth.PrivateKeyJWT)) != c.hasKey() {
		return fmt.Errorf("auth_method %s does not fit the client's credential", c.AuthMethod)
	}
	if c.ShareSecret != "" && !c.ShareTokens {
		return errors.New("share_secret needs share_tokens: it is the secret that shared tokens are encrypted with")
	}
	if c.ShareTokens && c.PrivateKeyRaw != nil && c.ShareSecret == "" {
		return errors.New("share_tokens needs share_secret, since the private key is in a module: write share_secret {file./run/secrets/share}")
	}
	return nil
}

// hasKey reports whether the client authenticates with a key.
func (c Client) hasKey() bool { return c.PrivateKey != "" || c.PrivateKeyRaw != nil }

// hasDPoPKey reports whether a key for DPoP is configured.
func (c Client) hasDPoPKey() bool { return c.DPoPKey != "" || c.DPoPKeyRaw != nil }

// writtenOut returns the names of the client's secrets that are written out, and so
// show in the configuration.
func (c Client) writtenOut() []string {
	var names []string
	for _, field := range c.fields() {
		// A JWK has braces too, so braces alone are not a sign of a placeholder.
		if field.secret && *field.value != "" && len(placeholders(*field.value)) == 0 {
			names = append(names, field.name)
		}
	}
	return names
}

// hint says what looks wrong about a client secret that is written out, or "" if
// nothing does.
func (c Client) hint() string {
	if c.ClientSecret == "" || len(placeholders(c.ClientSecret)) > 0 {
		return ""
	}
	return tokenauth.Credentials{ClientID: c.ClientID, ClientSecret: tokenauth.NewSecret(c.ClientSecret)}.Hint()
}

// clientField is a field of a client that may contain placeholders.
type clientField struct {
	name   string
	value  *string
	secret bool
}

// fields returns the fields of c that may contain placeholders.
func (c *Client) fields() []clientField {
	return []clientField{
		{"client_id", &c.ClientID, false},
		{"client_secret", &c.ClientSecret, true},
		{"private_key", &c.PrivateKey, true},
		{"key_id", &c.KeyID, false},
		{"audience", &c.Audience, false},
		{"dpop_key", &c.DPoPKey, true},
		{"share_secret", &c.ShareSecret, true},
	}
}

// check returns an error if the field cannot have its value, as far as this is known
// without resolving placeholders.
func (f clientField) check() error {
	switch {
	case f.secret:
		if err := checkSecretPlaceholders(*f.value); err != nil || !strings.HasSuffix(f.name, "_key") {
			return err
		}
		return checkWrittenKey(*f.value)
	case f.name == "audience" && *f.value != "" && len(placeholders(*f.value)) == 0:
		_, err := resolveAudience(*f.value)
		return err
	}
	return checkPlaceholders(*f.value)
}

// checkWrittenKey returns an error if the value for a private key is written out and is
// not a private key, such as a file name. The error shows nothing of the value.
func checkWrittenKey(typed string) error {
	if len(placeholders(typed)) > 0 {
		return nil
	}
	text, err := resolve(typed) // the braces of a JWK are escaped
	if err != nil {
		return err
	}
	if _, err := parseKey(text, ""); err != nil {
		return fmt.Errorf("the value is not a private key (%v); if it is the name of a file, write {file./run/secrets/seal.pem}", err)
	}
	return nil
}

// resolveAudience resolves an audience. An error shows it as it was typed.
func resolveAudience(typed string) (string, error) {
	audience, err := resolve(typed)
	if err != nil || audience == "" {
		return "", err
	}
	if err := tokenauth.CheckAudience(audience); err != nil {
		return "", fmt.Errorf("'%s' %v", typed, err)
	}
	return audience, nil
}

// checkAuthMethod returns an error if method is given and unknown.
func checkAuthMethod(method string) error {
	if method != "" && !slices.Contains(tokenauth.AuthMethods(), tokenauth.AuthMethod(method)) {
		return fmt.Errorf("unknown auth_method '%s': must be one of %v", method, tokenauth.AuthMethods())
	}
	return nil
}

// credentials resolves the client's credentials.
func (c Client) credentials() (tokenauth.Credentials, error) {
	var values [6]string
	for i, field := range []struct{ name, value string }{
		{"client_id", c.ClientID},
		{"client_secret", c.ClientSecret},
		{"private_key", c.PrivateKey},
		{"key_id", c.KeyID},
		{"dpop_key", c.DPoPKey},
		{"share_secret", c.ShareSecret},
	} {
		value, err := resolve(field.value)
		if err != nil {
			return tokenauth.Credentials{}, fmt.Errorf("%s: %v", field.name, err)
		}
		values[i] = value
	}
	if secret := values[5]; secret != "" && len(secret) < minShareSecret {
		return tokenauth.Credentials{}, fmt.Errorf("share_secret%s has %d characters; at least %d random ones are needed, as from 'openssl rand -base64 32'", from(c.ShareSecret), len(secret), minShareSecret)
	}
	credentials := tokenauth.Credentials{ClientID: values[0], ClientSecret: tokenauth.NewSecret(values[1]), ShareSecret: tokenauth.NewSecret(values[5])}
	var err error
	if credentials.Key, err = readKey(c.privateKey, values[2], values[3]); err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("private_key%s: %v", keyOrigin(c.privateKey, c.PrivateKey), err)
	}
	if credentials.DPoPKey, err = readKey(c.dpopKey, values[4], ""); err != nil {
		return tokenauth.Credentials{}, fmt.Errorf("dpop_key%s: %v", keyOrigin(c.dpopKey, c.DPoPKey), err)
	}
	return credentials, nil
}

// minShareSecret is the least length of share_secret, in bytes.
const minShareSecret = 32

// keyWait is how long a module may take to say which key it holds. It is less than an
// attempt to obtain a token may take, so that the error that names the key comes first.
const keyWait = tokenauth.DefaultTimeout / 2

// readKey returns the key of holder, or if that is nil, the key in text. It returns nil if
// both are empty.
func readKey(holder KeyHolder, text, id string) (*tokenauth.Key, error) {
	if holder == nil {
		return parseKey(text, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyWait)
	defer cancel()
	return holder.Key(ctx, id)
}

// keyOrigin says where a key comes from: the holder, or the placeholders in value.
func keyOrigin(holder KeyHolder, value string) string {
	if holder != nil {
		return " in " + holder.String()
	}
	return from(value)
}

// parseKey parses a private key. It returns nil if text is empty.
func parseKey(text, id string) (*tokenauth.Key, error) {
	if text == "" {
		return nil, nil
	}
	return tokenauth.ParseKey(tokenauth.NewSecret(text), id)
}

// from says which placeholders a value comes from, or "" if the value is written out.
func from(value string) string {
	if names := placeholders(value); len(names) > 0 {
		return " from {" + strings.Join(names, "}{") + "}"
	}
	return ""
}

// clientLabel returns the client's name as metrics, logs and the admin API show it.
func clientLabel(name string) string {
	if name == "" {
		return defaultClient
	}
	return name
}
