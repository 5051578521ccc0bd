package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// record notes a response for TestResponsesOfTheSandbox in caddy/itest, if the
// environment variable ESIGN_RESPONSES names a folder.
func record(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	dir := os.Getenv("ESIGN_RESPONSES")
	if dir == "" {
		return
	}
	line, err := json.Marshal(map[string]any{
		"Test": t.Name(), "Method": r.Method, "Path": r.URL.EscapedPath(), "Status": w.Code,
		"Type": w.Header().Get("Content-Type"), "Location": w.Header().Get("Location"), "Body": w.Body.Bytes(),
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "sandbox"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

// faulty reports whether there are faults, so that responses are not BankID's.
func faulty(s http.Handler) bool {
	server, ok := s.(*sandbox.Server)
	return ok && len(server.Faults()) > 0
}
