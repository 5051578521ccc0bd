package caddyesign

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A KeyHolder is a module of the namespace `bankid_esign.keys`. It holds the private key
// of a client, or the key that a client's tokens are bound to (DPoP).
//
// The key is used longer than the module: a client that does not change keeps its tokens
// and its key over a reload, while the modules of the old configuration are cleaned up.
// So modules with the same configuration share what signs, as in a caddy.UsagePool.
type KeyHolder interface {
	// Key returns the key, with id as its kid, as for tokenauth.NewKey. It is called for
	// every attempt to obtain a token, and in between. It returns when ctx ends at the
	// latest. Its error shows in logs, and must not hold a secret.
	Key(ctx context.Context, id string) (*tokenauth.Key, error)

	// String says where the key is, such as "the PKCS#11 token 'seals', label 'seal'",
	// and nothing secret.
	String() string
}

// A KeyMaker is a KeyHolder that can make its key, for the command `keygen`.
type KeyMaker interface {
	KeyHolder

	// MakeKey makes the key for a JWS algorithm, such as ES256. If there is such a key
	// already, or alg is not possible, it is an error.
	MakeKey(ctx context.Context, alg string) (*tokenauth.Key, error)
}

// keysNamespace is the namespace of modules that hold keys.
const keysNamespace = "bankid_esign.keys"

// moduleName matches what can be the name of a module.
var moduleName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// unmarshalKey sets up the module of private_key or dpop_key, such as
//
//	private_key pkcs11 {
//	    ...
//	}
//
// It reports whether the subdirective is one of these with a module.
func (c *Client) unmarshalKey(d *caddyfile.Dispenser) (bool, error) {
	subdirective, raw, value := d.Val(), &c.PrivateKeyRaw, c.PrivateKey
	switch subdirective {
	case "private_key":
	case "dpop_key":
		raw, value = &c.DPoPKeyRaw, c.DPoPKey
	default:
		return false, nil
	}
	if *raw != nil {
		return true, d.Errf("%s already specified", subdirective)
	}
	ahead := *d
	if !ahead.NextArg() || !moduleName.MatchString(ahead.Val()) || ahead.CountRemainingArgs() > 0 {
		return false, nil
	}
	name := ahead.Val()
	if _, err := caddy.GetModule(keysNamespace + "." + name); err != nil {
		if !ahead.NextBlock(ahead.Nesting()) {
			return false, nil // a value that is not a key
		}
		return true, d.Err(subdirective + ": " + unknownHolder(name))
	}
	if value != "" {
		return true, d.Errf("%s already specified", subdirective)
	}
	d.NextArg()
	holder, err := unmarshalHolder(d, name)
	if err != nil {
		return true, err
	}
	*raw = caddyconfig.JSONModuleObject(holder, "module", name, nil)
	return true, nil
}

// unknownHolder says that the module called name is not in this program.
func unknownHolder(name string) string {
	return fmt.Sprintf("this Caddy has no module %s.%s: add it when you build Caddy (xcaddy build --with)", keysNamespace, name)
}

// unmarshalHolder sets up the module called name, which d has just read.
func unmarshalHolder(d *caddyfile.Dispenser, name string) (KeyHolder, error) {
	unm, err := caddyfile.UnmarshalModule(d, keysNamespace+"."+name)
	if err != nil {
		return nil, err
	}
	holder, ok := unm.(KeyHolder)
	if !ok {
		return nil, d.Errf("module %s.%s does not hold a key", keysNamespace, name)
	}
	return holder, nil
}

// loadKeys loads the modules that hold the client's keys.
func (c *Client) loadKeys(ctx caddy.Context) error {
	for _, key := range []struct {
		subdirective, field string
		raw                 json.RawMessage
		holder              *KeyHolder
	}{
		{"private_key", "PrivateKeyRaw", c.PrivateKeyRaw, &c.privateKey},
		{"dpop_key", "DPoPKeyRaw", c.DPoPKeyRaw, &c.dpopKey},
	} {
		if key.raw == nil {
			continue
		}
		// The error of LoadModule would show the whole object, with a PIN in it. LoadModule
		// wants exactly this name, while a struct would take it in other spellings.
		var object map[string]json.RawMessage
		var name string
		if json.Unmarshal(key.raw, &object) != nil || json.Unmarshal(object["module"], &name) != nil || name == "" {
			return fmt.Errorf("%s_module: module is missing: it is the name of the module, such as pkcs11 or tpm", key.subdirective)
		}
		loaded := *c // LoadModule clears the field, which is part of what identifies the client
		mod, err := ctx.LoadModule(&loaded, key.field)
		if err != nil {
			return fmt.Errorf("%s: loading its module: %v", key.subdirective, err)
		}
		holder, ok := mod.(KeyHolder)
		if !ok {
			return fmt.Errorf("%s: module %T does not hold a key", key.subdirective, mod)
		}
		*key.holder = holder
	}
	return nil
}
