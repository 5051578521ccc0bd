package caddyesign

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// startSandboxCommand runs the command. It returns the issuer and the keys of the B2B
// client that the command prints, and a channel that gets the error the command ends
// with.
func startSandboxCommand(t *testing.T, ctx context.Context, arguments ...string) (issuer, keys string, ended <-chan error) {
	t.Helper()
	out, in := io.Pipe()
	cmd := sandboxCommand()
	cmd.SetArgs(arguments)
	cmd.SetOut(in)
	end := make(chan error, 1)
	go func() {
		end <- cmd.ExecuteContext(ctx)
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if after, ok := strings.CutPrefix(lines.Text(), "issuer "); ok {
			issuer = strings.TrimSpace(after)
		}
		if strings.HasPrefix(lines.Text(), "client secret ") && !strings.HasSuffix(lines.Text(), sandbox.ClientSecret) {
			t.Errorf("it prints %q", lines.Text())
		}
		if after, ok := strings.CutPrefix(lines.Text(), "B2B client keys     "); ok {
			keys = after
		}
		if strings.HasPrefix(lines.Text(), "certificate ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return issuer, keys, end
		}
	}
	t.Fatalf("it ended: %v", <-end)
	return "", "", nil
}

// token asks the sandbox for a token, and returns the status.
func token(t *testing.T, issuer string) int {
	t.Helper()
	status, _ := tokenOf(t, issuer, sandbox.ClientID, sandbox.ClientSecret)
	return status
}

// tokenOf asks the sandbox for a token of a client, and returns the status and for how many
// seconds the token is valid. It puts the credentials into a Basic header as they are.
func tokenOf(t *testing.T, issuer, id, secret string) (status, lifetime int) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	if id == sandbox.ClientID {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != sandbox.ClientID {
		r.SetBasicAuth(id, secret)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var granted struct {
		Lifetime int `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&granted); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, granted.Lifetime
}

func TestSandboxCommand(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "localhost:0"} {
		issuer, keys, ended := startSandboxCommand(t, t.Context(), "--listen", listen)
		if got := token(t, issuer); got != http.StatusOK || keys != "" {
			t.Errorf("token endpoint at %s: status %d, keys %q", issuer, got, keys)
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(syscall.SIGTERM)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		u, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", u.Host); err == nil {
			_ = conn.Close()
			t.Error("it still listens")
		}
	}
}

// The sandbox accepts the output of keygen.
func TestSandboxCommandRegistersKeys(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	jwks, err := keygen(filepath.Join(dir, "seal.pem"), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "seal.jwks")
	two := strings.Replace(jwks, `"keys": [`, `"keys": [{"kty":"EC","kid":"other","alg":"ES256","use":"sig","crv":"P-256",`+
		`"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},`, 1)
	if err := os.WriteFile(file, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	issuer, keys, ended := startSandboxCommand(t, ctx, "--listen", "127.0.0.1:0", "--b2b-jwks", file)
	if want := "other " + key.ID(); keys != want {
		t.Errorf("it prints the keys %q, want %q", keys, want)
	}
	provider, err := tokenauth.NewProvider(issuer)
	if err != nil {
		t.Fatal(err)
	}
	report, err := tokenauth.Check(ctx, tokenauth.Config{
		Provider: provider, DPoP: true, Scopes: []string{"esign/b2b"},
		Credentials: func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: sandbox.B2BClientID, Key: key}, nil
		},
	}, http.DefaultClient)
	if err != nil || !report.OK() || report.AuthMethod != tokenauth.PrivateKeyJWT {
		t.Errorf("%+v, %v", report, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Clients of one's own have the credentials that their flags say, one JWK is as good as a
// JWKS, and settings have an effect.
func TestSandboxCommandClients(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret, keys := filepath.Join(dir, "secret"), filepath.Join(dir, "seal.jwk")
	for file, content := range map[string]string{secret: "plain\r\n", keys: string(jwk)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	issuer, _, ended := startSandboxCommand(t, ctx, "--listen", "127.0.0.1:0", "--token-lifetime", "7s",
		"--client", "id=app", "--secret-file", secret, "--client", "id=seal", "--jwks", keys, "--dpop")
	for id, secret := range map[string]string{"app": "plain", sandbox.ClientID: sandbox.ClientSecret} {
		if status, lifetime := tokenOf(t, issuer, id, secret); status != http.StatusOK || lifetime != 7 {
			t.Errorf("%s: status %d, a token of %d s", id, status, lifetime)
		}
	}
	if status, _ := tokenOf(t, issuer, "app", "wrong"); status != http.StatusUnauthorized {
		t.Errorf("another secret: status %d", status)
	}
	provider, err := tokenauth.NewProvider(issuer)
	if err != nil {
		t.Fatal(err)
	}
	report, err := tokenauth.Check(ctx, tokenauth.Config{
		Provider: provider, DPoP: true, Scopes: []string{"esign/b2b"},
		Credentials: func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "seal", Key: key}, nil
		},
	}, http.DefaultClient)
	if err != nil || !report.OK() {
		t.Errorf("seal: %+v, %v", report, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What the command prints has no secret of the developer's own.
func TestSandboxCommandPrints(t *testing.T) {
	for name, test := range map[string]struct {
		clients []sandbox.Client
		want    []string
		not     []string
	}{
		"built-in": {nil, []string{"client              " + sandbox.ClientID + "\n", sandbox.ClientSecret, sandbox.B2BClientSecret, sandbox.CodeVerifier}, []string{"of your own"}},
		"own": {
			[]sandbox.Client{{ID: "app", Secret: "own-secret"}, {ID: "seal", DPoPRequired: true}},
			[]string{"client of your own  app\n", "client of your own  seal (DPoP)\n", sandbox.ClientSecret},
			[]string{"own-secret"},
		},
		"instead of the built-in one": {
			[]sandbox.Client{{ID: sandbox.ClientID, Secret: "own-secret"}},
			[]string{"client of your own  " + sandbox.ClientID + "\n", sandbox.B2BClientSecret},
			[]string{"own-secret", sandbox.ClientSecret + "\n"},
		},
	} {
		var out strings.Builder
		if err := printSandbox(&out, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, sandbox.Options{Clients: test.clients}); err != nil {
			t.Error(err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in %s", name, want, &out)
			}
		}
		for _, not := range test.not {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: %q in %s", name, not, &out)
			}
		}
	}
}

func TestSandboxCommandIssuer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	issuer, _, ended := startSandboxCommand(t, ctx, "--listen", "127.0.0.1:0", "--issuer", "https://bankid.test/realm")
	cancel()
	if err := <-ended; err != nil || issuer != "https://bankid.test/realm" {
		t.Errorf("issuer %q, %v", issuer, err)
	}
}

func TestSandboxCommandRefusals(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"any address":        {[]string{"--listen", ":9771"}, "not a loopback address"},
		"any IPv4 address":   {[]string{"--listen", "0.0.0.0:9771"}, "not a loopback address"},
		"another address":    {[]string{"--listen", "192.0.2.1:9771"}, "not a loopback address"},
		"any IPv6 address":   {[]string{"--listen", "[::]:9771"}, "not a loopback address"},
		"no port":            {[]string{"--listen", "127.0.0.1"}, "must be a host and a port such as 127.0.0.1:9771"},
		"no address":         {[]string{"--listen", "127.0.0.1:none"}, "listen address"},
		"port in use":        {[]string{"--listen", busy.Addr().String()}, busy.Addr().String() + " is in use already"},
		"how else":           {[]string{"--listen", busy.Addr().String()}, "--listen 127.0.0.1:0"},
		"issuer with slash":  {[]string{"--listen", "127.0.0.1:0", "--issuer", "http://127.0.0.1/"}, "final slash"},
		"no keys":            {[]string{"--b2b-jwks", "/nowhere"}, "reading the public keys"},
		"keys of no form":    {[]string{"--b2b-jwks", "sandbox.go"}, "is not a JWKS, as 'caddy bankid-esign keygen' prints one"},
		"client without id":  {[]string{"--client", "app"}, "must be id=<id>"},
		"empty id":           {[]string{"--client", "id="}, "must be id=<id>"},
		"no credential":      {[]string{"--client", "id=app"}, `client "app": there is neither a secret nor a key`},
		"whose secret":       {[]string{"--secret-file", "sandbox.go", "--client", "id=app"}, "must come after the --client that it describes"},
		"whose keys":         {[]string{"--jwks", "sandbox.go"}, "must come after the --client that it describes"},
		"no secret":          {[]string{"--client", "id=app", "--secret-file", "/nowhere"}, "/nowhere"},
		"empty secret":       {[]string{"--client", "id=app", "--secret-file", "/dev/null"}, "/dev/null is empty"},
		"no JWK":             {[]string{"--client", "id=app", "--jwks", "sandbox.go"}, "is not a JWKS"},
		"client twice":       {[]string{"--listen", "127.0.0.1:0", "--client", "id=a", "--secret-file", secret, "--client", "id=a", "--secret-file", secret}, "given twice"},
		"built-in client":    {[]string{"--client", "id=sandbox-b2b-client"}, "is a client that the sandbox has"},
		"two secrets":        {[]string{"--client", "id=a", "--secret-file", secret, "--secret-file", secret}, "has a secret already"},
		"two lines":          {[]string{"--client", "id=a", "--secret-file", "sandbox.go"}, "sandbox.go has more than one line"},
		"no duration":        {[]string{"--code-lifetime", "soon"}, "must be a positive duration such as 30s"},
		"no time":            {[]string{"--sad-lifetime", "0s"}, "must be a positive duration such as 30s"},
		"half a second":      {[]string{"--listen", "127.0.0.1:0", "--token-lifetime", "500ms"}, "not a number of whole seconds"},
		"no such assumption": {[]string{"--listen", "127.0.0.1:0", "--bad-exchange", "x"}, `bad_exchange "x" is neither`},
		"no status":          {[]string{"--unfinished-order", "x"}, "must be a positive number"},
		"argument":           {[]string{"now"}, "unexpected argument 'now'"},
		"flag that is wrong": {[]string{"--port", "1"}, "unknown flag"},
	} {
		cmd := sandboxCommand()
		cmd.SetArgs(test.arguments)
		cmd.SetOut(io.Discard)
		var printed strings.Builder
		cmd.SetErr(&printed)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(printed.String()+err.Error(), test.want) {
			t.Errorf("%s: %v: %s", name, err, &printed)
		}
	}
}
