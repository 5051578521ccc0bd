package caddyesign_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A journey is the way of an integrator through a gateway to a bank.
type journey struct {
	*fixture
	bank     *bank
	verifier string // code_verifier of the last consent
	keys     string // subdirectives for the keys of the client for seals; default: a key in keyFile
}

// newJourney starts a bank, and the gateway in front of it.
func newJourney(t *testing.T, options sandbox.Options) *journey {
	t.Helper()
	f := newFixture(t)
	key := f.writeKey(t)
	f.writeSecret(sandbox.ClientSecret)
	if !slices.ContainsFunc(options.Clients, func(c sandbox.Client) bool { return c.ID == "seal-client" }) {
		options.Clients = append(options.Clients, sandbox.Client{
			ID: "seal-client", DPoPRequired: true, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicKey(t, key)}},
		})
	}
	j := &journey{fixture: f, bank: newBank(t, options)}
	j.load("", "")
	return j
}

// load loads the gateway's configuration. The arguments are further subdirectives for
// the personal APIs and for b2b.
func (j *journey) load(personal, b2b string) {
	j.t.Helper()
	config := fmt.Sprintf(`{
		admin off
		persist_config off
		log {
			output file %[1]s
			level DEBUG
		}
		bankid_esign {
			issuer %[2]s%[3]s
			client_id %[4]s
			client_secret {file.%[5]s}
			client seal {
				client_id seal-client
				%[6]s
			}
		}
	}
	%[7]s {
		bind 127.0.0.1
		handle /v0/b2b/* {
			bankid_esign b2b {
				callers local
				client seal
				upstream b2b %[2]s
				%[9]s
			}
		}
		handle {
			bankid_esign signdoc csc timestamp {
				callers local
				upstream signdoc %[2]s
				upstream csc %[2]s
				upstream timestamp %[2]s
				%[8]s
			}
		}
	}`, j.log, j.bank.URL, realm, sandbox.ClientID, j.secret, cmp.Or(j.keys, "private_key {file."+j.keyFile()+"}"), j.site, personal, b2b)
	if err := caddy.Load(adapt(j.t, config), true); err != nil {
		j.t.Fatalf("loading: %v", err)
	}
	j.t.Cleanup(func() { j.hides("the log", j.logged()) })
}

// hides asserts that text shows nothing that the gateway must keep secret.
func (j *journey) hides(where, text string) {
	j.t.Helper()
	for _, secret := range append(j.bank.issued(), sandbox.ClientSecret) {
		if strings.Contains(text, secret) {
			j.t.Errorf("%s shows a secret of the gateway's", where)
		}
	}
}

// publicKey returns the public half of key, as it is registered.
func publicKey(t *testing.T, key *tokenauth.Key) jose.JSONWebKey {
	t.Helper()
	var public jose.JSONWebKey
	text, err := key.Public()
	if err == nil {
		err = json.Unmarshal(text, &public)
	}
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// A reply is the response to a caller of the gateway, and what the bank saw of the call.
type reply struct {
	*response
	seen []*bankCall
}

// call makes a request to the gateway. It asserts that the response shows no token of the
// gateway.
func (j *journey) call(method, target, body string, header ...string) *reply {
	j.t.Helper()
	j.bank.seen()
	r := &reply{response: j.do(method, target, body, header...)}
	r.seen = j.bank.seen()
	j.hides("the response to "+method+" "+target, fmt.Sprint(r.Header)+string(r.body))
	return r
}

// post makes a request with a JSON body.
func (j *journey) post(target, body string, header ...string) *reply {
	j.t.Helper()
	return j.call("POST", target, body, append(header, "Content-Type", "application/json")...)
}

// passed asserts how many times the bank saw the call, and that its last response, with
// the given status, came back unchanged.
func (r *reply) passed(times, status int) *reply {
	r.t.Helper()
	if len(r.seen) != times {
		r.t.Fatalf("the bank saw the call %d times, want %d; status is %d, Proxy-Status %q",
			len(r.seen), times, r.StatusCode, r.Header.Get("Proxy-Status"))
	}
	r.is(status)
	theirs := r.seen[times-1].response
	if theirs.Code != r.StatusCode || theirs.Body.String() != string(r.body) {
		r.t.Errorf("the caller got %d %.200q, the bank said %d %.200q", r.StatusCode, r.body, theirs.Code, theirs.Body)
	}
	for name, values := range theirs.Header() {
		if got := r.Header.Values(name); !slices.Equal(got, values) {
			r.t.Errorf("%s is %q, the bank said %q", name, got, values)
		}
	}
	if got := r.Header.Get("Proxy-Status"); got != "" {
		r.t.Errorf("a response of the bank has Proxy-Status %q", got)
	}
	return r
}

// bare asserts that the call carried no credential.
func (r *reply) bare() *reply {
	r.t.Helper()
	for _, e := range r.seen {
		if len(e.authorization) != 0 || e.proof != "" {
			r.t.Errorf("%s carries %q and proof %q", e.call, e.authorization, e.proof)
		}
	}
	return r
}

// says asserts that the body of a refusal contains the parts.
func (r *reply) says(parts ...string) *reply {
	r.t.Helper()
	for _, part := range parts {
		if !strings.Contains(string(r.body), part) {
			r.t.Errorf("the body is %.300q, want %q in it", r.body, part)
		}
	}
	return r
}

// refused asserts that the gateway itself refused the call, and says why.
func (r *reply) refused(status int, kind, details string) {
	r.t.Helper()
	r.is(status).byGateway(kind)
	if got := r.Header.Get("Proxy-Status"); !strings.Contains(got, details) {
		r.t.Errorf("Proxy-Status is %q, want %q in it", got, details)
	}
	if len(r.seen) != 0 {
		r.t.Errorf("the bank saw %s", r.seen[0].call)
	}
}

// into decodes the body from JSON.
func (r *reply) into(value any) {
	r.t.Helper()
	if err := json.Unmarshal(r.body, value); err != nil {
		r.t.Fatalf("the body is %.300q: %v", r.body, err)
	}
}

// visit makes a request directly to the bank, as a browser or a test does.
func (j *journey) visit(method, target, body string) *response {
	j.t.Helper()
	req, err := http.NewRequestWithContext(j.t.Context(), method, j.bank.URL+target, strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return roundTrip(j.t, req)
}

// write writes content to a file of the journey, for openssl.
func (j *journey) write(name string, content []byte) {
	j.t.Helper()
	if err := os.WriteFile(filepath.Join(j.dir, name), content, 0o600); err != nil {
		j.t.Fatal(err)
	}
}

// openssl runs OpenSSL in the directory of the journey, and asserts that it prints
// want.
func (j *journey) openssl(want string, arguments ...string) {
	j.t.Helper()
	command := exec.CommandContext(j.t.Context(), "openssl", arguments...)
	command.Dir = j.dir
	out, err := command.CombinedOutput()
	j.t.Logf("$ openssl %s\n%s", strings.Join(arguments, " "), out)
	if err != nil || !strings.Contains(string(out), want) {
		j.t.Errorf("openssl says %q, want %q: %v", out, want, err)
	}
}

// encoded returns content in base64, as the APIs write it.
func encoded(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
