package caddyesign_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

func init() {
	caddy.RegisterModule(Device{})
	caddy.RegisterModule(Removed{})
}

// Device holds a key in a file that it does not show. While the file is away, nothing
// signs.
type Device struct {
	File string `json:"file,omitempty"`
}

func (Device) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "bankid_esign.keys.device", New: func() caddy.Module { return new(Device) }}
}

func (d *Device) UnmarshalCaddyfile(disp *caddyfile.Dispenser) error {
	disp.Next()
	for nesting := disp.Nesting(); disp.NextBlock(nesting); {
		if disp.Val() != "file" {
			return disp.Errf("unrecognized subdirective '%s': must be file", disp.Val())
		}
		if !disp.AllArgs(&d.File) {
			return disp.ArgErr()
		}
	}
	return nil
}

func (d *Device) String() string { return "the device " + d.File }

// signer is a crypto.Signer that reads its key every time.
type signer struct {
	device *Device
	public crypto.PublicKey
}

func (d *Device) private() (*ecdsa.PrivateKey, error) {
	der, err := os.ReadFile(d.File)
	if err != nil {
		return nil, errors.New("the device is away")
	}
	return x509.ParseECPrivateKey(der)
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	private, err := s.device.private()
	if err != nil {
		return nil, err
	}
	return private.Sign(random, digest, opts)
}

func (d *Device) Key(_ context.Context, id string) (*tokenauth.Key, error) {
	private, err := d.private()
	if err != nil {
		return nil, err
	}
	return tokenauth.NewKey(tokenauth.NewQueue(1).Signer(signer{d, private.Public()}), id)
}

func (d *Device) MakeKey(ctx context.Context, alg string) (*tokenauth.Key, error) {
	if alg != "ES256" {
		return nil, errors.New("the device has only ES256")
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.File, der, 0o600); err != nil {
		return nil, err
	}
	return d.Key(ctx, "")
}

// Removed is a device that is away as soon as it has made a key.
type Removed struct{ Device }

func (Removed) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "bankid_esign.keys.removed", New: func() caddy.Module { return new(Removed) }}
}

func (r *Removed) MakeKey(ctx context.Context, alg string) (*tokenauth.Key, error) {
	key, err := r.Device.MakeKey(ctx, alg)
	if err == nil {
		err = os.Rename(r.File, r.File+".away")
	}
	return key, err
}

// newDevice returns a device with a new key, and the public key.
func newDevice(t *testing.T) (*Device, jose.JSONWebKey) {
	t.Helper()
	device := &Device{filepath.Join(t.TempDir(), "device")}
	key, err := device.MakeKey(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	return device, publicKey(t, key)
}

// newDeviceJourney starts a gateway with both keys for seals in devices.
func newDeviceJourney(t *testing.T) (j *journey, private, dpop *Device) {
	t.Helper()
	private, public := newDevice(t)
	dpop, _ = newDevice(t)
	f := newFixture(t)
	f.writeSecret(sandbox.ClientSecret)
	j = &journey{fixture: f, bank: newBank(t, sandbox.Options{Clients: []sandbox.Client{{
		ID: "seal-client", DPoPRequired: true, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}},
	}}})}
	j.keys = "private_key device {\nfile " + private.File + "\n}\ndpop_key device {\nfile " + dpop.File + "\n}"
	j.load("", "")
	return j, private, dpop
}

func TestJourneyOfKeysInAModule(t *testing.T) {
	j, private, _ := newDeviceJourney(t)
	j.seal().sealed()
	const sources = 4 // b2b, signdoc, csc and timestamp
	eventually(t, func() bool { return len(j.bank.issued()) == sources })
	j.load("", "lb_retries 1")
	j.seal().sealed()
	if n := len(j.bank.issued()); n != sources {
		t.Errorf("after a reload, there are %d tokens, want the %d of before", n, sources)
	}
	// The token in hand is used to its end, although its successor cannot be asked for.
	if err := os.Remove(private.File); err != nil {
		t.Fatal(err)
	}
	j.seal().sealed()
}

func TestKeyOfProofsThatDoesNotSign(t *testing.T) {
	j, _, dpop := newDeviceJourney(t)
	j.seal().sealed()
	if err := os.Rename(dpop.File, dpop.File+".away"); err != nil {
		t.Fatal(err)
	}
	j.seal().refused(502, "proxy_internal_error", "does not sign")
	if err := os.Rename(dpop.File+".away", dpop.File); err != nil {
		t.Fatal(err)
	}
	j.seal().sealed()
}

func TestKeygenAndCheckOfAModule(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "device")
	made := run(t, "keygen", "--key", "device", "file", file).exits(0).prints(`"alg": "ES256"`).stdout
	if got := run(t, "keygen", "--key", "device", "--existing", "file", file).exits(0).stdout; got != made {
		t.Errorf("of the existing key, it prints %s, want %s", got, made)
	}
	run(t, "keygen", "--key", "device", "--alg", "RS256", "file", file).exits(1).prints("Error: the device " + file + ": the device has only ES256")
	run(t, "keygen", "--key", "enclave", "file", file).exits(2).prints("this Caddy has no module bankid_esign.keys.enclave")
	run(t, "keygen", "--key", "device", "lable", file).exits(2).prints("unrecognized subdirective 'lable'")
	run(t, "keygen", "--key", "device", "file").exits(2).prints("each option needs a value")
	run(t, "keygen", "--key", "device", "--out", file).exits(2).prints("--key excludes --out")
	run(t, "keygen", "--key", "device", "--existing", "--alg", "ES256", "file", file).exits(2).prints("--existing excludes --alg")
	run(t, "keygen", "--existing", "--out", file).exits(2).prints("--existing needs --key")
}

// A key that is made stays in its hardware, also if it does not sign then.
func TestKeygenOfAKeyThatIsMadeAndDoesNotSign(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "device")
	out := run(t, "keygen", "--key", "removed", "file", file).exits(1).prints(
		"Error: the device "+file+": the key is made, but does not sign; when it does, --existing prints its JWKS: ", "the device is away")
	if out.stdout != "" {
		t.Errorf("it prints %s", out.stdout)
	}
}

func TestCheckOfKeysInAModule(t *testing.T) {
	j, private, dpop := newDeviceJourney(t)
	config := filepath.Join(j.dir, "Caddyfile")
	j.write("Caddyfile", []byte(strings.NewReplacer("ISSUER", j.bank.URL+realm, "UPSTREAM", j.bank.URL).Replace(`{
		bankid_esign {
			issuer ISSUER
			client seal {
				client_id seal-client
				`+j.keys+`
			}
		}
	}
	:8080 {
		bankid_esign b2b {
			client seal
			upstream b2b UPSTREAM
		}
	}`)))
	run(t, "check", "--config", config).exits(0).prints(
		"ok private key signs, in the device "+private.File, "ok dpop key signs, in the device "+dpop.File, "ok authentication seal-client by private_key_jwt")
	if err := os.Remove(private.File); err != nil {
		t.Fatal(err)
	}
	run(t, "check", "--config", config).exits(1).prints(
		"private key the device "+private.File+": the device is away", "not tried, since its key does not sign")
	run(t, "check", "--json", "--config", config).exits(1).prints(`"name": "private_key"`, `"error": "the device is away"`)
}

var _ caddyesign.KeyMaker = (*Device)(nil)

// In JSON, the object of a module may hold a secret, such as a PIN.
func TestKeyWithoutTheNameOfItsModule(t *testing.T) {
	for _, object := range []string{`{"pin":"planted"}`, `{"module":1,"pin":"planted"}`, `{"module":"","pin":"planted"}`, `{"Module":"device","pin":"planted"}`, `{"module":null,"pin":"planted"}`, `"planted"`} {
		config := `{"admin":{"disabled":true},"apps":{"bankid_esign":{"environment":"current","client_id":"x","private_key_module":` + object + `}}}`
		var cfg caddy.Config
		if err := json.Unmarshal([]byte(config), &cfg); err != nil {
			t.Fatal(err)
		}
		err := caddy.Validate(&cfg)
		if err == nil || !strings.Contains(err.Error(), "private_key_module: module is missing") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: error is %v", object, err)
		}
	}
}
