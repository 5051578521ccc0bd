package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// path is the path of all calls. They carry a token.
const path = "/v1/signdoc/pades"

// accessToken is about as long as BankID's tokens.
var accessToken = strings.Repeat("bench.token.", 80)

// upstream is the server behind the contenders. Its response is a small JSON, or has as
// many bytes as the query parameter "bytes" says, and comes as fast as "speed" says, in bytes
// a second.
type upstream struct {
	plain, tls *httptest.Server
	ca         string       // the file with the authority of the certificate
	documents  atomic.Int64 // requests with DELETE
}

// newUpstream starts an upstream. Its files are in dir.
func newUpstream(dir string) (*upstream, error) {
	u := new(upstream)
	u.plain, u.tls = httptest.NewServer(http.HandlerFunc(u.respond)), httptest.NewUnstartedServer(http.HandlerFunc(u.respond))
	u.tls.EnableHTTP2 = true
	u.tls.StartTLS()
	u.ca = filepath.Join(dir, "ca.pem")
	return u, os.WriteFile(u.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.tls.Certificate().Raw}), 0o600)
}

// url returns the URL of the upstream, in cleartext or over TLS.
func (u *upstream) url(tls bool) string {
	if tls {
		return u.tls.URL
	}
	return u.plain.URL
}

// block is a part of large bodies.
var block [64 << 10]byte

// respond responds to a call.
func (u *upstream) respond(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Method == http.MethodDelete {
		u.documents.Add(1)
	}
	query := r.URL.Query()
	if size, err := strconv.Atoi(query.Get("bytes")); err == nil {
		speed, _ := strconv.Atoi(query.Get("speed"))
		w.Header().Set("Content-Length", strconv.Itoa(size))
		start := time.Now()
		for sent := 0; sent < size; sent += len(block) {
			pace(r.Context(), start, sent, speed)
			if _, err := w.Write(block[:min(size-sent, len(block))]); err != nil {
				return
			}
		}
		return
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "waiting", "scheme": scheme, "proof": r.Header.Get("DPoP") != "",
		"sign_id": "d7a5bca4-4e1f-4a0b-8a51-2b6d1d4f9b36", "signers": []string{"first", "second"},
	})
}

// close stops the upstream.
func (u *upstream) close() {
	u.plain.Close()
	u.tls.Close()
}

// issuer is an authorization server whose responses to token requests can be slow, or
// errors.
type issuer struct {
	*tokenauthtest.Server
	requests atomic.Int64
}

// newIssuer starts an issuer of tokens with the lifetime life. It responds to a token
// request after delay, with an error if fails is true.
func newIssuer(life, delay time.Duration, fails bool) *issuer {
	i := &issuer{Server: tokenauthtest.NewHTTPServer()}
	i.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		sleep(r.Context(), delay)
		if fails {
			tokenauthtest.WriteError(w, http.StatusServiceUnavailable, "temporarily_unavailable")
			return
		}
		kind := "Bearer"
		if r.Header.Get("DPoP") != "" {
			kind = "DPoP"
		}
		tokenauthtest.WriteJSON(w, http.StatusOK, map[string]any{
			"access_token": strconv.FormatInt(i.requests.Load(), 10) + accessToken, "token_type": kind, "expires_in": int(life.Seconds()),
		})
	})
	return i
}

// tokenURL returns the URL of the token endpoint.
func (i *issuer) tokenURL() string { return i.Document()["token_endpoint"].(string) }

// pace waits until it is time for more than n bytes, since start, at speed bytes a second. If
// speed is 0, it does not wait.
func pace(ctx context.Context, start time.Time, n, speed int) {
	if speed > 0 {
		sleep(ctx, time.Until(start.Add(time.Duration(float64(n)/float64(speed)*float64(time.Second)))))
	}
}

// sleep waits for d, or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
