package caddyesign_test

import (
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
		want   string // of the log
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
			answer := f.do("POST", "/v1/timestamp/token?sign_id=hidden", "{}").is(test.status)
			if string(answer.body) != test.body {
				t.Errorf("the caller got %q", answer.body)
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
