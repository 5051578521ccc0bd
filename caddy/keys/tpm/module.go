// Package tpm holds keys of the gateway's clients in a TPM 2.0. It is a Caddy module,
// bankid_esign.keys.tpm:
//
//	private_key tpm {
//	    key /etc/esign-gateway/seal.tpm
//	}
//
// It needs no cgo. Caddy with it is made by
//
//	xcaddy build --with github.com/esigngateway/caddy-bankid-esign/caddy/keys/tpm
package tpm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func init() {
	caddy.RegisterModule(Key{})
}

// moduleID is the ID of the module.
const moduleID = "bankid_esign.keys.tpm"

// defaultDevice is the resource manager of Linux, which several programs can use at once.
const defaultDevice = "/dev/tpmrm0"

// Key is a private key that only a TPM 2.0 can use: an EC key on P-256, P-384 or P-521, or
// an RSA key.
type Key struct {
	// The TPM: the absolute path of its character device or Unix socket, or `host:port`
	// for a simulator. The default is `/dev/tpmrm0`.
	Device string `json:"device,omitempty"`

	// The file of the key, which only this TPM can read: a TSS2 PRIVATE KEY in PEM.
	// Required, unless there is a `handle`.
	File string `json:"key,omitempty"`

	// The persistent handle of the key, such as `0x81000001`. Required, unless there is a
	// `key`.
	Handle string `json:"handle,omitempty"`

	// The authorization value of the key. Use a placeholder such as
	// `{file./run/secrets/tpm}`, which is read at each signature. Required, unless the
	// key has none.
	Auth string `json:"auth,omitempty"`

	device  *device
	holder  holder
	reading *tokenauth.Queue // of the authorization value
}

// A holder gives a key that is in a TPM.
type holder interface {
	// read returns the key. It uses the TPM only if it must.
	read(ctx context.Context, d *device) (object, error)

	// create makes a key from a template, with an authorization value that may be empty.
	create(ctx context.Context, d *device, template tpm2.TPMTPublic, auth tokenauth.Secret) error
}

// CaddyModule returns the Caddy module information.
func (Key) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: moduleID, New: func() caddy.Module { return new(Key) }}
}

// Provision sets up the key. It does not use the TPM.
func (k *Key) Provision(ctx caddy.Context) error {
	if err := k.validate(); err != nil {
		return err
	}
	if caddyesign.KeySecret(k.Auth).WrittenOut() {
		ctx.Logger().Warn("the authorization value is written out in the configuration, where it shows; use a placeholder such as {file./run/secrets/tpm}")
	}
	device, err := deviceAt(k.address())
	if err != nil {
		return err
	}
	k.use(device)
	return nil
}

// use sets up the key in device.
func (k *Key) use(d *device) {
	k.device, k.reading = d, tokenauth.NewQueue(1)
	if handle, err := parseHandle(k.Handle); err == nil {
		k.holder = handle
		return
	}
	k.holder = newKeyFile(k.File)
}

// address returns the device, or its default.
func (k *Key) address() string {
	if k.Device == "" {
		return defaultDevice
	}
	return k.Device
}

// validate returns an error if options are missing or wrong.
func (k *Key) validate() error {
	if !filepath.IsAbs(k.address()) {
		host, port, err := net.SplitHostPort(k.address())
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" {
			return fmt.Errorf("device '%s' must be an absolute path, or host:port", k.Device)
		}
	}
	for _, option := range [][2]string{{"device", k.Device}, {"key", k.File}, {"handle", k.Handle}} {
		if caddyesign.HasPlaceholder(option[1]) {
			return fmt.Errorf("%s '%s' has a placeholder, which only auth can have: in a Caddyfile, {$NAME} is the environment variable NAME", option[0], option[1])
		}
	}
	switch {
	case k.File == "" && k.Handle == "":
		return errors.New("key or handle is missing: it is the file of the key, or its persistent handle")
	case k.File != "" && k.Handle != "":
		return errors.New("key and handle exclude each other: a key is in a file, or has a persistent handle")
	}
	if _, err := parseHandle(k.Handle); k.Handle != "" && err != nil {
		return err
	}
	if err := caddyesign.KeySecret(k.Auth).Validate(); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	return nil
}

// parseHandle reads a persistent handle.
func parseHandle(text string) (persistent, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(text), "0x")
	handle, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil || handle>>24 != 0x81 {
		return 0, fmt.Errorf("handle '%.20s' must be that of a persistent key, from 0x81000000 to 0x81ffffff", text)
	}
	return persistent(handle), nil
}

// auth resolves the authorization value, before it is the turn of the caller at the TPM:
// its file system may hang.
func (k *Key) auth(ctx context.Context) (tokenauth.Secret, error) {
	if k.Auth == "" {
		return tokenauth.Secret{}, nil
	}
	found := make(chan tokenauth.Secret, 1) // the call may go on when nobody waits any more
	err := k.reading.Do(ctx, func() error {
		auth, err := caddyesign.KeySecret(k.Auth).Read()
		if err != nil {
			return fmt.Errorf("its authorization value cannot be read: %w", err)
		}
		found <- auth
		return nil
	})
	if err != nil {
		return tokenauth.Secret{}, err
	}
	return <-found, nil
}

// UnmarshalCaddyfile sets up the key from Caddyfile tokens. Syntax:
//
//	tpm {
//	    device <path or host:port>
//	    key    <path>
//	    handle <persistent handle>
//	    auth   <authorization value>
//	}
func (k *Key) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume module name
	if d.NextArg() {
		return d.ArgErr()
	}
	options := map[string]*string{"device": &k.Device, "key": &k.File, "handle": &k.Handle, "auth": &k.Auth}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		target, ok := options[option]
		if !ok {
			return d.Errf("unrecognized subdirective '%s': must be one of device, key, handle, auth", option)
		}
		if *target != "" {
			return d.Errf("%s already specified", option)
		}
		// ArgErr would show the arguments, and they may be an authorization value.
		if !d.AllArgs(target) || *target == "" {
			return d.Errf("wrong argument count after '%s': it takes one", option)
		}
	}
	if err := k.validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// String implements caddyesign.KeyHolder.
func (k *Key) String() string {
	which := "key file " + k.File
	if k.Handle != "" {
		which = "handle " + k.Handle
	}
	return fmt.Sprintf("the TPM (%s), %s", k.address(), which)
}

// Key implements caddyesign.KeyHolder. It reads the file, or the handle, each time.
func (k *Key) Key(ctx context.Context, id string) (*tokenauth.Key, error) {
	o, err := k.holder.read(ctx, k.device)
	if err != nil {
		return nil, err
	}
	public, algorithms, err := publicKey(o.area())
	if err != nil {
		return nil, err
	}
	return tokenauth.NewKey(&signer{k, o, public}, id, algorithms...)
}

// MakeKey implements caddyesign.KeyMaker. The algorithms are ES256, ES384, ES512 and
// RS256.
func (k *Key) MakeKey(ctx context.Context, alg string) (*tokenauth.Key, error) {
	template, err := templateFor(alg)
	if err != nil {
		return nil, err
	}
	auth, err := k.auth(ctx)
	if err == nil {
		err = checkAuth(auth, template.NameAlg)
	}
	if err != nil {
		return nil, err
	}
	if err := k.holder.create(ctx, k.device, template, auth); err != nil {
		return nil, err
	}
	return k.Key(ctx, "")
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Key)(nil)
	_ caddyfile.Unmarshaler = (*Key)(nil)
	_ caddyesign.KeyMaker   = (*Key)(nil)
	_ tokenauth.Signer      = (*signer)(nil)
)
