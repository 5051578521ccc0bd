package caddyesign_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestErrorReferencesAreLogged(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string // in the log
	}{
		{"csc", 401, `{"errorCode":"invalid_token","errorDescription":"no","errorReference":"1a2b-3c"}`, `"code":"invalid_token","error_reference":"1a2b-3c"`},
		{"b2b", 400, `{"error":"invalid_request","error_description":"no","error_reference":"R7"}`, `"code":"invalid_request","error_reference":"R7"`},
		{"timestamp", 500, `{"message":"no","code":"SIG-TG001","requestId":"q","errorReference":"R8"}`, `"code":"SIG-TG001","error_reference":"R8"`},
		{"code of another form", 400, `{"error":{"a":1},"code":"two words","error_reference":"R9"}`, `"code":"","error_reference":"R9"`},
		{"success", 200, `{"errorCode":"a","errorReference":"R10"}`, ""},
		{"no reference", 400, `{"errorCode":"invalid_token"}`, ""},
		{"reference of another form", 400, `{"errorReference":"Bearer abc\n"}`, ""},
		{"text", 403, `errorReference R11`, ""},
		{"list", 400, `["R12"]`, ""},
		{"empty", 404, "", ""},
		{"long", 500, `{"errorReference":"R13","a":"` + long + `"}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			f.start(localSite)
			response := f.do("POST", "/v1/timestamp/token?sign_id=hidden", "{}").is(test.status)
			if string(response.body) != test.body {
				t.Errorf("the caller got %q", response.body)
			}
			var lines []string
			for line := range strings.Lines(f.logged()) {
				if strings.Contains(line, "error with a reference") {
					lines = append(lines, line)
				}
			}
			if test.want == "" {
				if len(lines) != 0 {
					t.Errorf("it logged %q", lines)
				}
				return
			}
			if len(lines) != 1 || !strings.Contains(lines[0], test.want) || !strings.Contains(lines[0], `"api":"timestamp","method":"POST","path":"/v1/timestamp/token"`) {
				t.Fatalf("it logged %q, want one line with %s", lines, test.want)
			}
			for _, not := range []string{"hidden", "description", "message"} {
				if strings.Contains(lines[0], not) {
					t.Errorf("it logged more than the reference: %s", lines[0])
				}
			}
		})
	}
}

// BankID chooses a coding by the Accept-Encoding that leaves the gateway. The gateway
// understands that coding, whatever the caller accepts, and the caller gets the body
// unchanged.
func TestErrorsInACodingAreUnderstood(t *testing.T) {
	const refusal = `{"error":"invalid_token","errorReference":"R20"}`
	for _, own := range []string{"", "header_up Accept-Encoding \"br, zstd, deflate\"", "header_up -Accept-Encoding"} {
		for _, callers := range []string{"gzip, deflate, br, zstd", "br", "br, deflate;q=0.5", "*", "zstd, identity;q=0"} {
			t.Run(own+"/"+callers, func(t *testing.T) {
				f := newFixture(t)
				sent := make(chan []byte, 8)
				f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "Bearer token-1" {
						return
					}
					body := encodeFor(w, r.Header.Get("Accept-Encoding"), refusal)
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = w.Write(body)
					sent <- body
				})
				f.start(`bankid_esign csc {
					callers local
					upstream csc ` + f.upstream.URL + `
					` + own + `
				}`)
				f.do("POST", "/csc/v2/oauth2/token", "grant_type=authorization_code&code=x", "Accept-Encoding", callers).is(200)
				if n := len(f.issuer.TokenRequests()); n != 2 {
					t.Errorf("%d token requests, want 2: the refusal was not understood", n)
				}
				// This call carries the caller's own credential, so the error is meant
				// for the caller.
				<-sent
				got := f.do("POST", "/csc/v2/credentials/list", "{}", "Authorization", "Bearer token-1", "Accept-Encoding", callers).is(401)
				if want := <-sent; !bytes.Equal(got.body, want) {
					t.Errorf("the caller got %q, want %q", got.body, want)
				}
				if log := f.logged(); !strings.Contains(log, `"error_reference":"R20"`) {
					t.Error("the reference was not logged")
				}
			})
		}
	}
}

// encodeFor returns body in the coding that a server chooses. The server prefers brotli
// to deflate, and deflate to gzip. Its brotli is only a label.
func encodeFor(w http.ResponseWriter, accept, body string) []byte {
	var out bytes.Buffer
	switch {
	case strings.Contains(accept, "br") || strings.Contains(accept, "zstd"):
		w.Header().Set("Content-Encoding", "br")
		return []byte("\x0b\x02\x80brotli\x03")
	case strings.Contains(accept, "deflate"):
		w.Header().Set("Content-Encoding", "deflate")
		z := zlib.NewWriter(&out)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
	case strings.Contains(accept, "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(&out)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
	default:
		return []byte(body)
	}
	return out.Bytes()
}
