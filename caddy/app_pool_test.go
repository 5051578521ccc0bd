package caddyesign_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Two clients share a token if everything that affects the token is the same, and
// otherwise not.
func TestF21TokensAreSharedByEqualClientsOnly(t *testing.T) {
	const client = "client_id shared\nclient_secret {file.%[1]s}\n"
	for _, test := range []struct {
		name, first, second string // the clients
		scope               string // further scope of the second client
		tokens              int
	}{
		{name: "nothing", first: client, second: client, tokens: 1},
		{name: "id", first: client, second: "client_id other\nclient_secret {file.%[1]s}", tokens: 2},
		{name: "secret", first: client, second: "client_id shared\nclient_secret {file.%[2]s}", tokens: 2},
		{name: "method", first: client, second: client + "auth_method client_secret_post", tokens: 2},
		{name: "audience", first: "client_id shared\nprivate_key {file.%[3]s}", second: "client_id shared\nprivate_key {file.%[3]s}\naudience https://elsewhere.example", tokens: 2},
		{name: "key of proofs", first: client, second: client + "dpop_key {file.%[3]s}", tokens: 2},
		{name: "scope", first: client, second: client, scope: "scope esign/nnin", tokens: 2},
		{name: "credential", first: client, second: "client_id shared\nprivate_key {file.%[3]s}", tokens: 2},
		{name: "key id", first: "client_id shared\nprivate_key {file.%[3]s}", second: "client_id shared\nprivate_key {file.%[3]s}\nkey_id other", tokens: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newB2B(t)
			secret := filepath.Join(f.dir, "second-secret")
			if err := os.WriteFile(secret, []byte(clientSecret), 0o600); err != nil {
				t.Fatal(err)
			}
			f.app = fmt.Sprintf("client first {\n"+test.first+"\n}\nclient second {\n"+test.second+"\n}", f.secret, secret, f.keyFile())
			site := ""
			for name, scope := range map[string]string{"first": "", "second": test.scope} {
				site += fmt.Sprintf(`@%s header X-Client %[1]s
				bankid_esign @%[1]s signdoc {
					callers local
					client %[1]s
					upstream signdoc %s
					%s
				}
				`, name, f.upstream.URL, scope)
			}
			f.start(site)
			tokens := make(map[string]bool)
			for _, name := range []string{"first", "second", "first", "second"} {
				f.do("GET", path, "", "X-Client", name).is(200)
			}
			for _, call := range f.upstream.seen() {
				tokens[call.Header.Get("Authorization")] = true
			}
			if len(tokens) != test.tokens || len(f.issuer.TokenRequests()) != test.tokens {
				t.Errorf("%d tokens by %d requests, want %d", len(tokens), len(f.issuer.TokenRequests()), test.tokens)
			}
		})
	}
}
