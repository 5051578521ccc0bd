package pkcs11

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/keystest"
)

// run runs a command of the gateway.
func run(t *testing.T, status int, arguments ...string) (stdout, all string) {
	t.Helper()
	return keystest.Command(t, pin, status, arguments...)
}

// A seal is made with both keys in an HSM: keygen makes them, the bank gets the public
// half, check has them sign, and the gateway seals, also after a reload.
func TestSealWithBothKeysInAnHSM(t *testing.T) {
	dir := t.TempDir()
	pinFile := filepath.Join(dir, "pin")
	if err := os.WriteFile(pinFile, []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := func(label string) []string {
		return []string{"module", softHSM, "token", "gateway", "label", label, "pin", "{file." + pinFile + "}"}
	}
	made, _ := run(t, 0, append([]string{"keygen", "--key", "pkcs11"}, options("seal")...)...)
	run(t, 0, append([]string{"keygen", "--key", "pkcs11", "--alg", "RS256"}, options("dpop")...)...)
	_, all := run(t, 1, append([]string{"keygen", "--key", "pkcs11"}, options("seal")...)...)
	if !strings.Contains(all, "it has a private key with label 'seal' already") {
		t.Errorf("made again, it prints %s", all)
	}
	if again, _ := run(t, 0, append([]string{"keygen", "--key", "pkcs11", "--existing"}, options("seal")...)...); again != made {
		t.Errorf("of the existing key, it prints %s, want %s", again, made)
	}
	g := keystest.NewGateway(t, "pkcs11", pin, keystest.KeySet(t, made))
	config := g.Config(options("seal"), options("dpop"))
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	checked, _ := run(t, 0, "check", "--config", file)
	for _, want := range []string{"private key", "signs, in the PKCS#11 token 'gateway' (" + softHSM + "), label 'seal'", "label 'dpop'", "RS256"} {
		if !strings.Contains(checked, want) {
			t.Errorf("check does not print %q:\n%s", want, checked)
		}
	}
	for range 3 {
		g.Load(config)
		g.Seal(http.StatusOK)
		config += "# another configuration\n"
	}
	if n := g.Logged(`"msg":"obtained`); n != 1 {
		t.Errorf("tokens were obtained %d times, want once: a reload keeps them", n)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	pinFile := filepath.Join(dir, "pin")
	if err := os.WriteFile(pinFile, []byte("planted-wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, options := range map[string]string{
		"the PKCS#11 module cannot be read: stat /usr/lib/absent.so: no such file":         "module /usr/lib/absent.so\ntoken seals\nlabel seal",
		"token 'absent' (" + softHSM + "), label 'seal': it is not there; the module has ": "module " + softHSM + "\ntoken absent\nlabel seal",
		"it needs a PIN: give pin": "module " + softHSM + "\ntoken checked\nlabel seal",
		"its PIN cannot be read: placeholder {file." + dir + "/absent}: no such file": "module " + softHSM + "\ntoken checked\nlabel seal\npin {file." + dir + "/absent}",
		"it refuses the PIN, which is not tried again until it changes":               "module " + softHSM + "\ntoken checked\nlabel seal\npin {file." + pinFile + "}",
	} {
		file := filepath.Join(dir, "Caddyfile")
		config := "{\nbankid_esign {\nissuer http://127.0.0.1:1/x\nclient seal {\nclient_id seal\nprivate_key pkcs11 {\n" + options +
			"\n}\n}\n}\n}\n:8080 {\nbankid_esign b2b {\nclient seal\nupstream b2b http://127.0.0.1:1\n}\n}\n"
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _ := run(t, 1, "check", "--config", file); !strings.Contains(out, want) {
			t.Errorf("check does not print %q:\n%s", want, out)
		}
	}
}

func TestCaddyfileErrorsHaveALine(t *testing.T) {
	for body, want := range map[string]string{
		"token seals\nlabel seal":                            "module is missing",
		"module libhsm.so\ntoken seals\nlabel seal":          "must be an absolute path",
		"module /{env.HSM}.so\ntoken seals\nlabel seal":      "module '/{env.HSM}.so' has a placeholder, which only pin can have",
		"module /x.so\ntoken {env.HSM}\nlabel seal":          "token '{env.HSM}' has a placeholder",
		"module /x.so\ntoken seals\nlabel {file./x}":         "label '{file./x}' has a placeholder",
		"module /lib/hsm.so\nlabel seal":                     "token is missing",
		"module /lib/hsm.so\ntoken seals":                    "label or id of the key is missing",
		"module /lib/hsm.so\ntoken seals\ntoken more":        "token already specified, at Caddyfile:8",
		"module /lib/hsm.so\nslot 4":                         "unrecognized subdirective 'slot': must be one of module, token, label, id, pin, at Caddyfile:7",
		"module /lib/hsm.so\npin planted one":                "wrong argument count after 'pin': it takes one, at Caddyfile:7",
		"module /lib/hsm.so\ntoken seals\nid abc":            "id must have an even number of hexadecimal digits, at Caddyfile:",
		"module /l.so\ntoken t\nlabel l\npin {http.request}": "pin: placeholder {http.request} cannot be used here: only {env.*} and {file.*} can",
	} {
		config := "{\nbankid_esign {\nenvironment current\nclient_id x\nprivate_key pkcs11 {\n" + body + "\n}\n}\n}\n:8080 {\nbankid_esign csc\n}\n"
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: error is %v, want %s", body, err, want)
		}
	}
}

// Keys that Windows has made have a GUID in braces as their label. That is no placeholder.
func TestLabelInBraces(t *testing.T) {
	pinFile := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pinFile, []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []string{"module", softHSM, "token", "gateway", "label", "{3F2504E0-4F89-41D3-9A0C-0305E82C3301}", "pin", "{file." + pinFile + "}"}
	made, _ := run(t, 0, append([]string{"keygen", "--key", "pkcs11"}, options...)...)
	if again, _ := run(t, 0, append([]string{"keygen", "--key", "pkcs11", "--existing"}, options...)...); again != made {
		t.Errorf("of the existing key, it prints %s, want %s", again, made)
	}
}

// A JWKS is for BankID's support to register, so it is that of a key that signs.
func TestKeygenOfAKeyThatDoesNotSign(t *testing.T) {
	pinFile := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pinFile, []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, _ := newKey(t, hookedLibrary(nil), "gateway", "exchange")
	if _, err := k.MakeKey(t.Context(), "ES256"); err != nil {
		t.Fatal(err)
	}
	with(t, k, func(module *pkcs11.Ctx, s *session) error {
		found, err := s.find(k.name)
		if err != nil {
			return err
		}
		return module.SetAttributeValue(s.handle, found.private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SIGN, false)})
	})
	printed, all := run(t, 1, "keygen", "--key", "pkcs11", "--existing", "module", softHSM, "token", "gateway", "label", "exchange", "pin", "{file."+pinFile+"}")
	if printed != "" || strings.Count(all, "is not for signatures (CKA_SIGN)") != 1 || strings.Contains(all, "the key is made") {
		t.Errorf("it prints %s, want the error once", all)
	}
}

// The configuration on the page adapts, with the module's own options.
func TestConfigurationOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/hardware-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```syntax\n")
	config, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no configuration")
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil || !bytes.Contains(adapted, []byte(`"private_key_module":{"label":"seal-2026","library":"/usr/lib/softhsm/libsofthsm2.so","module":"pkcs11",`)) {
		t.Errorf("it adapts to %s (%v)", adapted, err)
	}
}

// Errors name the option as the configuration does: in JSON, the path of the PKCS#11 module
// is library, since module is the name of the Caddy module.
func TestJSONErrorsNameTheField(t *testing.T) {
	for want, k := range map[string]*Key{
		"library is missing":                           {Token: "seals", Label: "seal"},
		"library 'libhsm.so' must be an absolute path": {Module: "libhsm.so", Token: "seals", Label: "seal"},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		if err := k.Provision(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
		cancel()
	}
}
