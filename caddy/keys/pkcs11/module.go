// Package pkcs11 holds keys of the gateway's clients in an HSM, or in another token that
// has a PKCS#11 module. It is a Caddy module, bankid_esign.keys.pkcs11:
//
//	private_key pkcs11 {
//	    module /usr/lib/softhsm/libsofthsm2.so
//	    token  seals
//	    label  seal-2026
//	    pin    {file./run/secrets/pin}
//	}
//
// It needs cgo. Caddy with it is made by
//
//	CGO_ENABLED=1 xcaddy build --with github.com/esigngateway/caddy-bankid-esign/caddy/keys/pkcs11
package pkcs11

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func init() {
	caddy.RegisterModule(Key{})
}

// moduleID is the ID of the module.
const moduleID = "bankid_esign.keys.pkcs11"

// pool holds libraries, and the tokens that a configuration uses.
var pool = caddy.NewUsagePool()

// These are the types of the keys of the pool.
type (
	libraryKey struct{ path string }
	tokenKey   struct{ path, label, pin string }
	guardsKey  struct{}
)

// Key is a private key on a PKCS#11 token: an EC key on P-256, P-384 or P-521, or an RSA
// key. It never leaves the token.
type Key struct {
	// The file of the PKCS#11 module, such as `/usr/lib/softhsm/libsofthsm2.so`. Required.
	Module string `json:"library,omitempty"`

	// The label of the token. Required.
	Token string `json:"token,omitempty"`

	// The label of the key (CKA_LABEL). Required, unless there is an `id`.
	Label string `json:"label,omitempty"`

	// The id of the key (CKA_ID), in hexadecimal digits. Required, unless there is a
	// `label`.
	ID string `json:"id,omitempty"`

	// The user PIN of the token. Use a placeholder such as `{file./run/secrets/pin}`,
	// which is read when the gateway logs in. Required, unless the token needs none.
	PIN string `json:"pin,omitempty"`

	name  name
	token *token
}

// CaddyModule returns the Caddy module information.
func (Key) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: moduleID, New: func() caddy.Module { return new(Key) }}
}

// Provision sets up the key. It does not use the token.
func (k *Key) Provision(ctx caddy.Context) error {
	if err := k.validate("library"); err != nil {
		return err
	}
	id, _ := hex.DecodeString(k.ID) // it is valid
	k.name = name{label: k.Label, id: string(id)}
	pin := caddyesign.KeySecret(k.PIN)
	if pin.WrittenOut() {
		ctx.Logger().Warn("the PIN is written out in the configuration, where it shows; use a placeholder such as {file./run/secrets/pin}")
	}
	lib, err := libraryAt(k.Module)
	if err != nil {
		return err
	}
	val, _, err := pool.LoadOrNew(tokenKey{k.Module, k.Token, k.PIN}, func() (caddy.Destructor, error) {
		return newToken(lib, k.Token, pin), nil
	})
	if err != nil {
		return err
	}
	k.token = val.(*token)
	return nil
}

// Cleanup gives back the token.
func (k *Key) Cleanup() error {
	if k.token == nil {
		return nil
	}
	_, err := pool.Delete(tokenKey{k.Module, k.Token, k.PIN})
	return err
}

// validate returns an error if options are missing or wrong. module is the name of the
// option for the PKCS#11 module.
func (k *Key) validate(module string) error {
	for _, option := range [][2]string{{module, k.Module}, {"token", k.Token}, {"label", k.Label}} {
		if caddyesign.HasPlaceholder(option[1]) {
			return fmt.Errorf("%s '%s' has a placeholder, which only pin can have: in a Caddyfile, {$NAME} is the environment variable NAME", option[0], option[1])
		}
	}
	switch {
	case k.Module == "":
		return fmt.Errorf("%s is missing: it is the file of a PKCS#11 module, such as /usr/lib/softhsm/libsofthsm2.so", module)
	case !filepath.IsAbs(k.Module):
		return fmt.Errorf("%s '%s' must be an absolute path", module, k.Module)
	case k.Token == "":
		return errors.New("token is missing: it is the label of a token")
	case k.Label == "" && k.ID == "":
		return errors.New("label or id of the key is missing")
	}
	if _, err := hex.DecodeString(k.ID); err != nil {
		return errors.New("id must have an even number of hexadecimal digits")
	}
	if err := caddyesign.KeySecret(k.PIN).Validate(); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}

// UnmarshalCaddyfile sets up the key from Caddyfile tokens. Syntax:
//
//	pkcs11 {
//	    module <path>
//	    token  <label>
//	    label  <label>
//	    id     <hexadecimal digits>
//	    pin    <PIN>
//	}
func (k *Key) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume module name
	if d.NextArg() {
		return d.ArgErr()
	}
	options := map[string]*string{"module": &k.Module, "token": &k.Token, "label": &k.Label, "id": &k.ID, "pin": &k.PIN}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		target, ok := options[option]
		if !ok {
			return d.Errf("unrecognized subdirective '%s': must be one of module, token, label, id, pin", option)
		}
		if *target != "" {
			return d.Errf("%s already specified", option)
		}
		// ArgErr would show the arguments, and they may be a PIN.
		if !d.AllArgs(target) || *target == "" {
			return d.Errf("wrong argument count after '%s': it takes one", option)
		}
	}
	if err := k.validate("module"); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// String implements caddyesign.KeyHolder.
func (k *Key) String() string {
	return fmt.Sprintf("the PKCS#11 token '%s' (%s), %v", k.Token, k.Module, k.name)
}

// Key implements caddyesign.KeyHolder. It looks for the key each time.
func (k *Key) Key(ctx context.Context, id string) (*tokenauth.Key, error) {
	type result struct {
		public     foundKey
		algorithms []string
	}
	found := make(chan result, 1) // the call may go on when nobody waits any more
	err := k.token.do(ctx, func(s *session) error {
		key, err := s.find(k.name)
		if err != nil {
			return err
		}
		algorithms, err := s.algorithms(key)
		if err == nil { // else this may be called again
			found <- result{key, algorithms}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r := <-found
	return tokenauth.NewKey(&signer{k, r.public.public}, id, r.algorithms...)
}

// MakeKey implements caddyesign.KeyMaker. The algorithms are ES256, ES384, ES512 and
// RS256.
func (k *Key) MakeKey(ctx context.Context, alg string) (*tokenauth.Key, error) {
	if err := k.token.do(ctx, func(s *session) error { return s.generate(k.name, alg) }); err != nil {
		return nil, err
	}
	return k.Key(ctx, "")
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Key)(nil)
	_ caddy.CleanerUpper    = (*Key)(nil)
	_ caddyfile.Unmarshaler = (*Key)(nil)
	_ caddyesign.KeyMaker   = (*Key)(nil)
	_ tokenauth.Signer      = (*signer)(nil)
)
