package tpm

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/keystest"
)

// run runs a command of the gateway.
func run(t *testing.T, status int, arguments ...string) (stdout, all string) {
	t.Helper()
	return keystest.Command(t, auth, status, arguments...)
}

// A seal is made with both keys in a TPM: keygen makes them, the bank gets the public
// half, check has them sign, and the gateway seals: after a reload, after another program
// has used the TPM, after the TPM has lost its power, and with another key.
func TestSealWithBothKeysInATPM(t *testing.T) {
	s := newSimulator(t)
	placeholder, set := s.fromFile()
	set(auth)
	seal := []string{"device", s.socket, "key", s.path("seal.tpm"), "auth", placeholder}
	next := []string{"device", s.socket, "key", s.path("next.tpm")}
	dpop := []string{"device", s.socket, "handle", "0x81000100"}
	made, _ := run(t, 0, append([]string{"keygen", "--key", "tpm"}, seal...)...)
	run(t, 0, append([]string{"keygen", "--key", "tpm", "--alg", "RS256"}, dpop...)...)
	for want, options := range map[string][]string{
		s.path("seal.tpm") + " exists already, and may be a key in use": seal,
		"it has a key with the handle 0x81000100 already":               dpop,
	} {
		if _, all := run(t, 1, append([]string{"keygen", "--key", "tpm"}, options...)...); !strings.Contains(all, want) {
			t.Errorf("made again, it prints %s, want %s", all, want)
		}
	}
	if again, _ := run(t, 0, append([]string{"keygen", "--key", "tpm", "--existing"}, seal...)...); again != made {
		t.Errorf("of the existing key, it prints %s, want %s", again, made)
	}
	registered := keystest.KeySet(t, made)
	second, _ := run(t, 0, append([]string{"keygen", "--key", "tpm", "--alg", "ES384"}, next...)...)
	registered.Keys = append(registered.Keys, keystest.KeySet(t, second).Keys...)

	g := keystest.NewGateway(t, "tpm", auth, registered)
	config := g.Config(seal, dpop)
	file := s.path("Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	checked, _ := run(t, 0, "check", "--config", file)
	for _, want := range []string{"private key", "signs, in the TPM (" + s.socket + "), key file " + s.path("seal.tpm"), "handle 0x81000100", "RS256"} {
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
	s.tool("tpm2_getrandom", "4")
	g.Seal(http.StatusOK)
	s.stop()
	g.Seal(http.StatusBadGateway)
	s.start()
	g.Seal(http.StatusOK)
	for _, message := range []string{"a key does not sign", "a key signs again"} {
		if n := g.Logged(`"msg":"` + message + `"`); n != 1 {
			t.Errorf("the log has %d times %q", n, message)
		}
	}
	g.Load(g.Config(next, dpop))
	g.Seal(http.StatusOK)
	if n := g.Logged(`"msg":"obtained`); n != 2 {
		t.Errorf("tokens were obtained %d times, want twice: with each key", n)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d keys or sessions are left in the TPM", n)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	s := newSimulator(t)
	placeholder, set := s.fromFile()
	set("planted-wrong")
	s.make(s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: auth}), "ES256")
	for want, options := range map[string]string{
		"the TPM (/dev/absent), key file /k: the key file cannot be read: open /k: no such file": "device /dev/absent\nkey /k",
		"there is no /dev/absent: look whether the machine has a TPM":                            "device /dev/absent\nkey " + s.path("key"),
		"the TPM (" + s.socket + "), handle 0x81000001: 0x81000001: it has no key":               "device " + s.socket + "\nhandle 0x81000001",
		"it refuses the authorization value, which is not tried again until it changes":          "device " + s.socket + "\nkey " + s.path("key") + "\nauth " + placeholder,
	} {
		file := s.path("Caddyfile")
		config := "{\nbankid_esign {\nissuer http://127.0.0.1:1/x\nclient seal {\nclient_id seal\nprivate_key tpm {\n" + options +
			"\n}\n}\n}\n}\n:8080 {\nbankid_esign b2b {\nclient seal\nupstream b2b http://127.0.0.1:1\n}\n}\n"
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _ := run(t, 1, "check", "--config", file); !strings.Contains(out, want) || strings.Contains(out, "planted") {
			t.Errorf("check does not print %q:\n%s", want, out)
		}
	}
}

func TestCaddyfileErrorsHaveALine(t *testing.T) {
	for body, want := range map[string]string{
		"device /dev/tpmrm0":                          "key or handle is missing",
		"key /etc/seal.tpm\nhandle 0x81000001":        "key and handle exclude each other",
		"key /etc/seal.tpm\nkey /etc/more.tpm":        "key already specified, at Caddyfile:7",
		"key /etc/seal.tpm\npin 1234":                 "unrecognized subdirective 'pin': must be one of device, key, handle, auth, at Caddyfile:7",
		"key /etc/seal.tpm\nauth planted one":         "wrong argument count after 'auth': it takes one, at Caddyfile:7",
		"key /etc/seal.tpm\ndevice tpmrm0":            "device 'tpmrm0' must be an absolute path, or host:port, at Caddyfile:",
		"key /etc/seal.tpm\ndevice :2321":             "device ':2321' must be an absolute path, or host:port, at Caddyfile:",
		"key /etc/seal.tpm\ndevice localhost:tpm":     "device 'localhost:tpm' must be an absolute path, or host:port, at Caddyfile:",
		"key {env.CREDENTIALS_DIRECTORY}/seal.tpm":    "key '{env.CREDENTIALS_DIRECTORY}/seal.tpm' has a placeholder, which only auth can have",
		"handle 81000001":                             "handle '81000001' must be that of a persistent key, from 0x81000000 to 0x81ffffff",
		"handle 0x80000001":                           "handle '0x80000001' must be that of a persistent key",
		"handle 0x8100000100":                         "handle '0x8100000100' must be that of a persistent key",
		"key /etc/seal.tpm\nauth {http.request.host}": "auth: placeholder {http.request.host} cannot be used here: only {env.*} and {file.*} can",
	} {
		config := "{\nbankid_esign {\nenvironment current\nclient_id x\nprivate_key tpm {\n" + body + "\n}\n}\n}\n:8080 {\nbankid_esign csc\n}\n"
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: error is %v, want %s", body, err, want)
		}
	}
}

// The configuration on the page adapts, with the module's own options.
func TestConfigurationOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/hardware-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## A TPM\n")
	_, rest, _ := strings.Cut(section, "```syntax\n")
	config, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no configuration")
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil || !bytes.Contains(adapted, []byte(`"private_key_module":{"key":"/etc/esign-gateway/seal.tpm","module":"tpm"}`)) {
		t.Errorf("it adapts to %s (%v)", adapted, err)
	}
}
