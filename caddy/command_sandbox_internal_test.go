package caddyesign

import (
	"bufio"
	"context"
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
	answer, err := http.PostForm(issuer+"/protocol/openid-connect/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
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
