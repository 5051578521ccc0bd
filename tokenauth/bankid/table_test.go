package bankid_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func TestEveryRowIsValidAndHasASource(t *testing.T) {
	seen := make(map[string]bool)
	for _, call := range bankid.Calls(bankid.APIs()...) {
		name := call.Method + " " + call.Path
		if err := call.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(call.Source, "https://") {
			t.Errorf("%s has no source", name)
		}
		if call.Rejects == nil {
			t.Errorf("%s does not say what a refusal looks like", name)
		}
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	if len(seen) != 6+12+4+14 {
		t.Errorf("there are %d rows", len(seen))
	}
}

// A mistake in these rows would lose a signature, or make one that nobody wanted.
func TestRowsThatMatterMost(t *testing.T) {
	table := gateway.NewTable(bankid.Calls(bankid.APIs()...)...)
	for _, test := range []struct {
		method, path string
		kind         gateway.Kind
		retry        gateway.Retry
	}{
		{"POST", "/csc/v2/oauth2/token", gateway.Bearer, gateway.Rejected},
		{"POST", "/csc/v2/credentials/list", gateway.Pass, gateway.Never},
		{"POST", "/csc/v2/credentials/authorize", gateway.Pass, gateway.Never},
		{"POST", "/csc/v2/signatures/signHash", gateway.Pass, gateway.Never},
		{"DELETE", "/v1/signdoc/pades", gateway.Bearer, gateway.Rejected},
		{"DELETE", "/signdoc/pades", gateway.Bearer, gateway.Rejected},
		{"GET", "/v1/signdoc/pades", gateway.Bearer, gateway.Safe},
		{"POST", "/v0/b2b/ades/pades", gateway.DPoP, gateway.Rejected},
		{"POST", "/v0/b2b/csc/v2/signatures/signHash", gateway.DPoP, gateway.Rejected},
		{"GET", "/v0/b2b/csc/v2/info", gateway.None, gateway.Safe},
	} {
		call := table.Lookup(httptest.NewRequest(test.method, test.path+"?sign_id=1", nil))
		if call == nil || call.Kind != test.kind || call.Retry != test.retry {
			t.Errorf("%s %s is %+v, want %s, %s", test.method, test.path, call, test.kind, test.retry)
		}
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/csc/v2/oauth2/authorize", nil),
		httptest.NewRequest("GET", "/web", nil),
		httptest.NewRequest("HEAD", "/v1/signdoc/pades", nil),
	} {
		if call := table.Lookup(r); call != nil {
			t.Errorf("%s %s is in the table", r.Method, r.URL)
		}
	}
}

func TestHint(t *testing.T) {
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/csc/v2/oauth2/authorize", "GET /csc/v2/oauth2/authorize is for the user's browser: redirect it to BankID directly"},
		{"POST", "/v0/b2b/pades/cmses_from_hashes", "the path is one of the API b2b, which is not among those that can be called here: [csc signdoc]"},
		{"HEAD", "/v1/signdoc/pades", "no such call: the call table has this path with POST, GET, DELETE, not with HEAD"},
		{"GET", "/web", ""},
	} {
		if got := bankid.Hint(test.method, test.path, bankid.CSC, bankid.SignDoc); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.method, test.path, got, test.want)
		}
	}
}

func TestDownloadRows(t *testing.T) {
	var got []string
	for _, call := range bankid.Calls(bankid.APIs()...) {
		if call.Download {
			got = append(got, call.Method+" "+call.Path)
		}
	}
	want := []string{"DELETE /v1/signdoc/pades", "DELETE /signdoc/pades", "DELETE /v1/timestamp/pades/lta"}
	if !slices.Equal(got, want) {
		t.Errorf("the responses of %v are the only copy, want %v", got, want)
	}
	// A row of a configuration does not change that.
	call, err := bankid.NewCall(bankid.SignDoc, "DELETE", "/v1/signdoc/pades", gateway.Bearer, gateway.Never)
	if err != nil || !call.Download {
		t.Errorf("configured: %+v, %v", call, err)
	}
	if call, _ := bankid.NewCall(bankid.SignDoc, "GET", "/v1/signdoc/pades", gateway.Bearer, gateway.Safe); call.Download {
		t.Error("a status is the only copy")
	}
}

func TestCallOfAnUnknownAPI(t *testing.T) {
	for _, api := range []bankid.API{"", "CSC", "other"} {
		if call, err := bankid.NewCall(api, "GET", "/x", gateway.None, gateway.Safe); err == nil {
			t.Errorf("%q: no error for %+v", api, call)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := gateway.NewTable(bankid.Calls(bankid.APIs()...)...)
	r := httptest.NewRequest("POST", "/v0/b2b/csc/v2/signatures/signHash", nil)
	if n := testing.AllocsPerRun(100, func() { table.Lookup(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatRefusesAToken(t *testing.T) {
	rejects := make(map[string]func(*http.Response) bool)
	for _, call := range bankid.Calls(bankid.APIs()...) {
		rejects[call.Group] = call.Rejects
	}
	for _, test := range []struct {
		api       string
		status    int
		challenge string
		body      string
		want      bool
	}{
		{"signdoc", 401, "", "", true},
		{"signdoc", 403, "", "", true},
		{"signdoc", 400, "", "", false},
		{"timestamp", 403, "", "", true},
		{"b2b", 401, "", "", true},
		{"b2b", 403, "", "", false},
		{"csc", 401, "", `{"error":"invalid_token"}`, true},
		{"csc", 401, "", `{"errorCode":"invalid_token"}`, true},
		{"csc", 401, `Bearer error="invalid_token"`, "", true},
		{"csc", 401, `Bearer error="invalid_token"`, `{"error":"invalid_grant"}`, false},
		{"csc", 401, "", `{"error":"invalid_grant"}`, false},
		{"csc", 401, "", `{"error":"invalid_client"}`, true},
		{"csc", 401, "", `{"errorCode":"invalid_client","errorDescription":"no"}`, true},
		{"csc", 401, `Basic realm="x", error="invalid_client"`, "", true},
		{"csc", 401, `Bearer error="invalid_client"`, `{"error":"invalid_grant"}`, false},
		{"csc", 401, "", `{"error":"unauthorized_client"}`, false},
		{"csc", 401, "", `{"error":"invalid_client_metadata"}`, false},
		{"csc", 400, "", `{"error":"invalid_client"}`, false},
		{"csc", 403, "", `{"error":"invalid_client"}`, false},
		{"csc", 401, "Bearer", "", false},
		{"csc", 401, "", "<html>", false},
		{"csc", 400, "", `{"error":"invalid_token"}`, false},
		{"csc", 403, "", `{"error":"invalid_token"}`, false},
	} {
		res := &http.Response{
			StatusCode: test.status, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(test.body)),
		}
		if test.challenge != "" {
			res.Header.Set("WWW-Authenticate", test.challenge)
		}
		if got := rejects[test.api](res); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
		if body, err := io.ReadAll(res.Body); string(body) != test.body || err != nil {
			t.Errorf("%+v: the body is now %q, %v", test, body, err)
		}
	}
}

func TestBodyOfARefusalIsKeptWithItsError(t *testing.T) {
	broken := errors.New("broken")
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 100)), failingReader{broken})
	res := &http.Response{StatusCode: 401, Body: io.NopCloser(body)}
	calls := bankid.Calls(bankid.CSC)
	calls[0].Rejects(res)
	got, err := io.ReadAll(res.Body)
	if len(got) != 100 || !errors.Is(err, broken) {
		t.Errorf("%d bytes and %v are left", len(got), err)
	}
}

// failingReader is a reader that fails.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestScopes(t *testing.T) {
	for _, test := range []struct {
		api   bankid.API
		extra []string
		want  []string
	}{
		{bankid.CSC, nil, []string{"esign/csc"}},
		{bankid.SignDoc, nil, []string{"esign"}},
		{bankid.SignDoc, []string{"signdoc/read_write"}, []string{"signdoc/read_write"}},
		{bankid.SignDoc, []string{"esign/qtsa", "esign/nnin"}, []string{"esign", "esign/nnin", "esign/qtsa"}},
		{bankid.SignDoc, []string{"esign"}, []string{"esign"}},
		{bankid.Timestamp, nil, []string{"esign/qtsa"}},
		{bankid.B2B, nil, []string{"esign/b2b"}},
	} {
		if got := bankid.Scopes(test.api, test.extra); !slices.Equal(got, test.want) {
			t.Errorf("Scopes(%s, %q) = %q, want %q", test.api, test.extra, got, test.want)
		}
	}
}

func TestEnvironments(t *testing.T) {
	// These are the issuers in BankID's documents.
	for name, issuer := range map[string]string{
		"production": "https://auth.bankid.no/auth/realms/prod",
		"current":    "https://auth.current.bankid.no/auth/realms/current",
		"sandbox":    "http://127.0.0.1:9771/auth/realms/sandbox",
	} {
		env, ok := bankid.EnvironmentByName(name)
		if !ok || env.Issuer != issuer {
			t.Errorf("%s is %+v", name, env)
		}
	}
	if env := bankid.Current; env.Elsewhere("https://api.preprod.esign-stoetest.cloud/v1") || env.Elsewhere("") {
		t.Error("current does not know its own hosts")
	}
	for _, base := range []string{"https://api.esign-stoe.cloud", "http://api.preprod.esign-stoetest.cloud", "%"} {
		if !bankid.Current.Elsewhere(base) {
			t.Errorf("current takes %s for its own", base)
		}
	}
	if (bankid.Environment{Issuer: "https://issuer.example"}).Elsewhere("https://api.esign-stoe.cloud") {
		t.Error("another provider is held to hosts of BankID")
	}
}
