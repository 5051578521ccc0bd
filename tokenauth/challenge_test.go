package tokenauth_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// challengeCode returns the error code of a response with the given challenges.
func challengeCode(challenges ...string) string {
	return tokenauth.ErrorCode(&http.Response{Header: http.Header{"Www-Authenticate": challenges}, Body: http.NoBody})
}

func TestChallengeIsReadAsItIsWritten(t *testing.T) {
	for _, test := range []struct {
		challenges []string
		want       string
	}{
		{[]string{`Bearer error="invalid_token"`}, "invalid_token"},
		{[]string{`bearer realm="a, b",  ERROR = "invalid_token" , error_description="x"`}, "invalid_token"},
		{[]string{`Bearer error=invalid_token`}, "invalid_token"},
		{[]string{`Negotiate a87421000492aa==, DPoP algs="ES256", error="use_dpop_nonce"`}, "use_dpop_nonce"},
		{[]string{`Basic realm="x"`, `DPoP error="use_dpop_nonce"`}, "use_dpop_nonce"},
		{[]string{`Bearer realm="error=\"planted\"", error="invalid_token"`}, "invalid_token"},
		{[]string{`Bearer realm=" error=", error="invalid_token"`}, "invalid_token"},
		{[]string{`Bearer x-error="planted"`}, ""},
		{[]string{`Bearer error_description="the error="`}, ""},
		{[]string{`Bearer error="a\"b"`}, `a"b`},
		{[]string{`Bearer error="unterminated`}, ""},
		{[]string{`Bearer error=`}, ""},
		{[]string{"", "Bearer", `"`, `=`, `,`}, ""},
		{nil, ""},
	} {
		if got := challengeCode(test.challenges...); got != test.want {
			t.Errorf("%q: code is %q, want %q", test.challenges, got, test.want)
		}
	}
}

// quoted returns s as a quoted-string (RFC 9110 section 5.6.4).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// The value of one parameter is not taken for another parameter, and an invalid challenge
// does no harm.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{`"`, `\`, ` error=`, `error="x"`, `,`, `Bearer`, "\x00æ", `a="b`} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, realm, code string) {
		if got := challengeCode(`Bearer realm=`+quoted(realm)+`, error=`+quoted(code), `Basic realm="x"`); got != code {
			t.Errorf("realm %q: code is %q, want %q", realm, got, code)
		}
		if got := challengeCode(`DPoP error_description=` + quoted(realm) + `, x-error=` + quoted(code)); got != "" {
			t.Errorf("description %q: code is %q, want none", realm, got)
		}
		if got := challengeCode(realm, code); len(got) > max(len(realm), len(code)) {
			t.Errorf("%q and %q: code is %q", realm, code, got)
		}
	})
}

// A caller that accepts gzip gets it, and the Transport still understands a refusal.
func TestErrorCodeOfACompressedBody(t *testing.T) {
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(zip, `{"errorCode":"invalid_token"}`)
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ coding, body, want string }{
		{"gzip", zipped.String(), "invalid_token"},
		{"X-GZIP", zipped.String(), "invalid_token"},
		{"gzip", zipped.String()[:zipped.Len()-10], ""},
		{"gzip", `{"error":"invalid_token"}`, ""},
		{"br", zipped.String(), ""},
	} {
		res := &http.Response{Header: http.Header{"Content-Encoding": {test.coding}}, Body: io.NopCloser(strings.NewReader(test.body))}
		if code := tokenauth.ErrorCode(res); code != test.want {
			t.Errorf("the code of %q as %s is %q, want %q", test.body, test.coding, code, test.want)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != test.body {
			t.Errorf("after that, the body is %q, %v", body, err)
		}
	}
}
