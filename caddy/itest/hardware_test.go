package itest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
	_ "github.com/esigngateway/caddy-bankid-esign/caddy/keys/pkcs11" // plugs in the module
	_ "github.com/esigngateway/caddy-bankid-esign/caddy/keys/tpm"    // plugs in the module
)

// A device holds keys. It returns the body of the subdirective for the key with that
// label.
type device func(label string) string

// hardware is what can hold keys, by the name of the module in bankid_esign.keys. Each
// function prepares a device.
var hardware = map[string]func(t *testing.T) device{
	"pkcs11": softHSM,
	"tpm":    softTPM,
}

// The gateway authenticates at Keycloak with a key in hardware (private_key_jwt). The
// tokens that it obtains are bound to another key there, which signs the proofs (DPoP).
func TestKeysInHardware(t *testing.T) {
	const realm = "current"
	k := startKeycloak(t, "26.7.3")
	devices := make(map[string]device)
	for module, prepare := range hardware {
		devices[module] = prepare(t)
	}
	issuer := k.serves(t)
	for module, holds := range devices {
		for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256} {
			t.Run(module+"/"+string(alg), func(t *testing.T) {
				client := module + "-" + string(alg)
				authenticates, proves := holds("client-"+string(alg)), holds("dpop-"+string(alg))
				registered := keyRegistration(client, "esign/b2b", makeKey(t, module, authenticates, alg))
				registered.DPoP = true
				k.register(t, realm, registered)
				bound := makeKey(t, module, proves, alg)

				api := startB2B(t, newTokenVerifier(t, issuer, client))
				api.alg = alg
				g := startGateway(t, strings.NewReplacer(
					"ISSUER", issuer, "CLIENT", client, "MODULE", module, "AUTHENTICATES", authenticates, "PROVES", proves,
				).Replace(`
		issuer ISSUER
		client b2b {
			client_id CLIENT
			auth_method private_key_jwt
			private_key MODULE {
				AUTHENTICATES
			}
			dpop_key MODULE {
				PROVES
			}
		}
`), strings.NewReplacer("API", api.url).Replace(`
	bankid_esign b2b {
		client b2b
		callers local
		upstream b2b API
	}
`))
				const calls = 3
				for range calls {
					checkArrives(t, g, b2bCall("/v0/b2b/ades/pades"))
				}
				g.stop(t)
				for _, problem := range api.problems {
					t.Error(problem)
				}
				// The API has checked that the token is bound to the key of the proof.
				if len(api.proofs) != calls {
					t.Errorf("%d proofs came, want %d", len(api.proofs), calls)
				}
				for _, p := range api.proofs {
					if want := thumbprint(t, bound); p.thumbprint != want {
						t.Errorf("the key of the proof has the thumbprint %s, want that of the key in hardware, %s", p.thumbprint, want)
					}
				}
				checkLogLacks(t, g, "/v0/b2b/ades/pades", append([]string{hardwarePIN}, api.secrets...))
			})
		}
	}
}

// makeKey makes a key in hardware, as the command keygen does, and returns its public half.
func makeKey(t *testing.T, module, body string, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	d := caddyfile.NewTestDispenser(module + " {\n" + body + "\n}")
	d.Next()
	loaded, err := caddyfile.UnmarshalModule(d, "bankid_esign.keys."+module)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	holder := loaded.(caddyesign.KeyMaker)
	if err := holder.(caddy.Provisioner).Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if holder, ok := holder.(caddy.CleanerUpper); ok {
		defer holder.Cleanup()
	}
	made, err := holder.MakeKey(ctx, string(alg))
	if err != nil {
		t.Fatal(err)
	}
	var key jose.JSONWebKey
	public, err := made.Public()
	if err == nil {
		err = json.Unmarshal(public, &key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hardwarePIN is the PIN of devices.
const hardwarePIN = "planted-pin-4711"

// softHSM prepares a token of SoftHSM2. It can be used once in a process, since SoftHSM2
// reads its configuration once.
func softHSM(t *testing.T) device {
	t.Helper()
	dir, token := t.TempDir(), "itest"
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", token, "--pin", hardwarePIN, "--so-pin", hardwarePIN).CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s (bash .ci/run installs what is needed)", err, out)
	}
	pin := writeKey(t, "pin", []byte(hardwarePIN+"\n"))
	return func(label string) string {
		return "module /usr/lib/softhsm/libsofthsm2.so\ntoken " + token + "\nlabel " + label + "\npin {file." + pin + "}"
	}
}

// softTPM starts swtpm, which is a TPM 2.0.
func softTPM(t *testing.T) device {
	t.Helper()
	// Not t.TempDir, whose paths can be too long for a socket.
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	swtpm := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := swtpm.Start(); err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	t.Cleanup(func() {
		_ = swtpm.Process.Kill()
		_ = swtpm.Wait() // the error says that it was killed
		_ = os.RemoveAll(dir)
	})
	eventually(t, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	auth := writeKey(t, "auth", []byte(hardwarePIN+"\n"))
	return func(label string) string {
		return "device " + socket + "\nkey " + filepath.Join(dir, label) + "\nauth {file." + auth + "}"
	}
}
