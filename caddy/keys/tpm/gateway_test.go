package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // plugs in Caddy's modules

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// TestCaddyItself is Caddy's command line, with the arguments in COMMAND. run calls it.
func TestCaddyItself(t *testing.T) {
	arguments, ok := os.LookupEnv("COMMAND")
	if !ok {
		return
	}
	os.Args = append([]string{"caddy"}, strings.Split(arguments, "\n")...)
	caddycmd.Main()
}

// run runs a command of Caddy in a process of its own. It returns what it prints, and
// asserts its exit status.
func run(t *testing.T, status int, arguments ...string) (stdout, all string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCaddyItself$")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "COMMAND=bankid-esign\n"+strings.Join(arguments, "\n"))
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	_ = cmd.Run()
	stdout, all = out.String(), out.String()+errors.String()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%v exits with %d, want %d:\n%s", arguments, got, status, all)
	}
	if strings.Contains(all, auth) {
		t.Errorf("%v prints the authorization value", arguments)
	}
	return stdout, all
}

// keySet reads the JWKS that keygen prints.
func keySet(t *testing.T, printed string) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(strings.NewReader(printed)).Decode(&set); err != nil || len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("keygen prints %s (%v)", printed, err)
	}
	return set
}

// bank starts the sandbox, with a client that has the given keys. It returns its URL.
func bank(t *testing.T, keys jose.JSONWebKeySet) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	handler, err := sandbox.New(sandbox.Options{
		Issuer:  "http://" + server.Listener.Addr().String() + "/auth/realms/sandbox",
		Clients: []sandbox.Client{{ID: "seal-client", DPoPRequired: true, Keys: keys}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// block returns options of the module, and their values, as a block of a Caddyfile.
func block(options []string) string {
	text := "tpm {\n"
	for i := 0; i < len(options); i += 2 {
		text += options[i] + " " + options[i+1] + "\n"
	}
	return text + "}"
}

// a gateway makes seals.
type gateway struct {
	t            *testing.T
	address, log string
	bank         string
	caller       http.Client
}

// newGateway returns a gateway in front of bank. It does not run yet.
func newGateway(t *testing.T, bank string) *gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Cleanup(func() { _ = caddy.Stop() })
	return &gateway{
		t: t, address: listener.Addr().String(), log: filepath.Join(t.TempDir(), "log"), bank: bank,
		caller: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // a reload closes connections
	}
}

// config returns a configuration with these options of the keys.
func (g *gateway) config(private, dpop []string) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	log {
		output file %s
		level DEBUG
	}
	bankid_esign {
		issuer %s/auth/realms/sandbox
		client seal {
			client_id seal-client
			private_key %s
			dpop_key %s
		}
	}
}
http://%s {
	bankid_esign b2b {
		callers local
		client seal
		upstream b2b %s
	}
}
`, g.log, g.bank, block(private), block(dpop), g.address, g.bank)
}

// load loads a configuration, also if it is the one that runs.
func (g *gateway) load(config string) {
	g.t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if bytes.Contains(adapted, []byte(auth)) {
		g.t.Error("the adapted configuration shows the authorization value")
	}
	if err := caddy.Load(adapted, true); err != nil {
		g.t.Fatal(err)
	}
}

// seal makes a seal, and asserts the status of the response.
func (g *gateway) seal(status int) {
	g.t.Helper()
	digest := sha256.Sum256([]byte("document"))
	res, err := g.caller.Post("http://"+g.address+"/v0/b2b/cmses_from_hashes", "application/json",
		strings.NewReader(`["`+base64.StdEncoding.EncodeToString(digest[:])+`"]`))
	if err != nil {
		g.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != status {
		g.t.Errorf("status %d, want %d: %s (%v)", res.StatusCode, status, body, err)
	}
}

// logged returns how often the log has text.
func (g *gateway) logged(text string) int {
	g.t.Helper()
	log, err := os.ReadFile(g.log)
	if err != nil {
		g.t.Fatal(err)
	}
	if bytes.Contains(log, []byte(auth)) {
		g.t.Error("the log shows the authorization value")
	}
	return bytes.Count(log, []byte(text))
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
	registered := keySet(t, made)
	second, _ := run(t, 0, append([]string{"keygen", "--key", "tpm", "--alg", "ES384"}, next...)...)
	registered.Keys = append(registered.Keys, keySet(t, second).Keys...)

	g := newGateway(t, bank(t, registered))
	config := g.config(seal, dpop)
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
		g.load(config)
		g.seal(http.StatusOK)
		config += "# another configuration\n"
	}
	if n := g.logged(`"msg":"obtained`); n != 1 {
		t.Errorf("tokens were obtained %d times, want once: a reload keeps them", n)
	}
	s.tool("tpm2_getrandom", "4")
	g.seal(http.StatusOK)
	s.stop()
	g.seal(http.StatusBadGateway)
	s.start()
	g.seal(http.StatusOK)
	for _, message := range []string{"a key does not sign", "a key signs again"} {
		if n := g.logged(`"msg":"` + message + `"`); n != 1 {
			t.Errorf("the log has %d times %q", n, message)
		}
	}
	g.load(g.config(next, dpop))
	g.seal(http.StatusOK)
	if n := g.logged(`"msg":"obtained`); n != 2 {
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
