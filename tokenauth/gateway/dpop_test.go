package gateway_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A proof is a DPoP proof. Another library has checked its signature.
type proof struct {
	header     jose.Header
	thumbprint string
	ID         string `json:"jti"`
	Method     string `json:"htm"`
	URL        string `json:"htu"`
	IssuedAt   int64  `json:"iat"`
	Token      string `json:"ath"`
	Nonce      string `json:"nonce"`
}

// readProof checks the proof in header, and reads it.
func readProof(t *testing.T, header http.Header) proof {
	t.Helper()
	values := header.Values("DPoP")
	if len(values) != 1 {
		t.Fatalf("there are %d proofs", len(values))
	}
	jws, err := jose.ParseSigned(values[0], []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	p := proof{header: jws.Signatures[0].Protected}
	jwk := p.header.JSONWebKey
	if jwk == nil || !jwk.IsPublic() || jwk.KeyID != "" {
		t.Fatalf("the key in the proof is %v", jwk)
	}
	payload, err := jws.Verify(jwk)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		t.Fatal(err)
	}
	if p.header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" || p.ID == "" {
		t.Errorf("typ is %v, jti %q", p.header.ExtraHeaders, p.ID)
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	p.thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	return p
}

// ath returns the claim ath of a proof for an access token.
func ath(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestF30ProofsOfTokenRequestAndCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		r := newRequest(t, "POST", "/v0/b2b/pades/cmses_from_hashes?x=y", "{}")
		r.URL.Host = "API.example:443"
		r.Header.Set("DPoP", "callers-own")
		r.Header.Set("Authorization", "DPoP callers-own")
		status(t, transport, r)

		asked := readProof(t, issuer.TokenRequests()[0].Header)
		if asked.Method != "POST" || asked.URL != issuer.Issuer()+"/protocol/openid-connect/token" || asked.Token != "" || asked.Nonce != "" {
			t.Errorf("proof of the token request is %+v", asked)
		}
		called := readProof(t, b.calls[0].Header)
		if called.Method != "POST" || called.URL != "https://api.example/v0/b2b/pades/cmses_from_hashes" {
			t.Errorf("proof of the call is for %s %s", called.Method, called.URL)
		}
		if got := b.calls[0].Header["Authorization"]; len(got) != 1 || got[0] != "DPoP token-1" || called.Token != ath("token-1") {
			t.Errorf("Authorization is %q, ath %q", got, called.Token)
		}
		if called.IssuedAt != time.Now().Unix() || called.thumbprint != asked.thumbprint || called.ID == asked.ID {
			t.Errorf("the proofs do not belong together: %+v, %+v", asked, called)
		}
		if called.header.Algorithm != "ES256" {
			t.Errorf("alg is %s", called.header.Algorithm)
		}
	})
}

// If a call or a token request is retried, it gets a new proof each time.
func TestF29ProofsAreNotUsedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		refused := &net.OpError{Op: "dial", Err: fmt.Errorf("refused")}
		d := new(gateway.Exchange)
		r := newRequest(t, "POST", "/v0/b2b/ades/pades", "{}")
		b.answer = func(r *http.Request) (int, string) {
			if strings.HasSuffix(r.Header.Get("Authorization"), "token-1") {
				return 401, `{"error":"invalid_token"}`
			}
			return 200, "sealed"
		}
		for n := range 4 {
			b.err = refused
			if n == 3 {
				b.err = nil
			}
			res, err := transport.Try(r, d)
			if (err == nil) != (n == 3) {
				t.Fatalf("try %d: %v", n, err)
			}
			if res != nil {
				res.Body.Close()
			}
		}
		seen := make(map[string]bool)
		for _, call := range b.calls {
			seen[readProof(t, call.Header).ID] = true
		}
		for _, request := range issuer.TokenRequests() {
			seen[readProof(t, request.Header).ID] = true
		}
		if got, want := len(seen), len(b.calls)+len(issuer.TokenRequests()); got != want || len(b.calls) != 2 {
			t.Errorf("%d different proofs in %d requests, %d of them calls", got, want, len(b.calls))
		}
	})
}

func TestNonceOfTheAuthorizationServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, issuer := newTransport(t)
		nonce, refusals := "as-1", 0
		issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("DPoP-Nonce", nonce)
			if readProof(t, r.Header).Nonce != nonce {
				refusals++
				tokenauthtest.WriteError(w, http.StatusBadRequest, "use_dpop_nonce")
				return
			}
			w.Header().Set("DPoP-Nonce", "as-2") // may come with any answer
			nonce = "as-2"
			tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "dpop", "expires_in": 10})
		})
		source := transport.Sources["b2b"]
		for range 3 {
			if _, err := source.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
		}
		// The first request has no nonce. After that, the nonce is known.
		if refusals != 1 {
			t.Errorf("%d requests were refused for their nonce, want 1", refusals)
		}
		first, second := issuer.TokenRequests()[0], issuer.TokenRequests()[1]
		if readProof(t, first.Header).ID == readProof(t, second.Header).ID {
			t.Error("the proof was used twice")
		}
	})
}

func TestNonceThatNeverFitsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		b.header = http.Header{"Dpop-Nonce": {"again"}, "Www-Authenticate": {`DPoP error="use_dpop_nonce"`}}
		b.answer = func(*http.Request) (int, string) { return 401, "" }
		if code, _ := status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", "{}")); code != 401 {
			t.Errorf("status is %d", code)
		}
		if len(b.calls) != 2 || len(issuer.TokenRequests()) != 1 {
			t.Errorf("it was sent %d times, with %d token requests", len(b.calls), len(issuer.TokenRequests()))
		}
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("DPoP-Nonce", "again")
			tokenauthtest.WriteError(w, http.StatusBadRequest, "use_dpop_nonce")
		})
		time.Sleep(time.Hour)
		before := len(issuer.TokenRequests())
		if _, err := transport.Sources["b2b"].Token(t.Context()); err == nil {
			t.Error("there is a token")
		}
		if got := len(issuer.TokenRequests()) - before; got > 2 {
			t.Errorf("%d token requests", got)
		}
	})
}

func TestNonceOfTheResourceServer(t *testing.T) {
	for _, test := range []struct {
		name   string
		body   string
		status int
		sends  int
	}{
		{"held", "{}", 200, 2},
		{"too large to be held", strings.Repeat("x", 2<<10), 401, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport, b, issuer := newTransport(t)
				b.header = http.Header{"Dpop-Nonce": {"rs-1"}, "Www-Authenticate": {`DPoP error="use_dpop_nonce"`}}
				b.answer = func(r *http.Request) (int, string) {
					if readProof(t, r.Header).Nonce != "rs-1" {
						return 401, `{"status":401,"error":"Unauthorized"}`
					}
					return 200, "sealed"
				}
				if code, _ := status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", test.body)); code != test.status {
					t.Errorf("status is %d, want %d", code, test.status)
				}
				if got := len(b.calls); got != test.sends {
					t.Errorf("it was sent %d times, want %d", got, test.sends)
				}
				for _, body := range b.bodies {
					if body != test.body {
						t.Errorf("a body of %d bytes was sent, want %d", len(body), len(test.body))
					}
				}
				// From now on the nonce is known.
				if code, _ := status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", test.body)); code != 200 {
					t.Errorf("status of the next call is %d", code)
				}
				if got := len(issuer.TokenRequests()); got != 1 {
					t.Errorf("%d token requests: a challenge is no word against the token", got)
				}
				if got := len(b.calls); got != test.sends+1 {
					t.Errorf("the next call was sent %d times", got-test.sends)
				}
			})
		})
	}
}

// A server may send its nonce only when it refuses a proof. It accepts that nonce until it
// sends another one (RFC 9449 section 8.2).
func TestNonceOfAChallengeIsUsedUntilThereIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		wanted := "rs-1"
		b.answer = func(r *http.Request) (int, string) {
			b.header = nil
			if readProof(t, r.Header).Nonce != wanted {
				b.header = http.Header{"Dpop-Nonce": {wanted}, "Www-Authenticate": {`DPoP error="use_dpop_nonce"`}}
				return 401, "{}"
			}
			return 200, "sealed"
		}
		for _, next := range []struct {
			nonce string
			sends int
		}{{"rs-1", 2}, {"rs-1", 1}, {"rs-1", 1}, {"rs-2", 2}, {"rs-2", 1}} {
			wanted = next.nonce
			before := len(b.calls)
			if code, _ := status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", "{}")); code != 200 {
				t.Errorf("the status is %d", code)
			}
			if got := len(b.calls) - before; got != next.sends {
				t.Errorf("with the nonce %s, a call was sent %d times, want %d", next.nonce, got, next.sends)
			}
		}
	})
}

func TestProofTimeIsTheProvidersTime(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Second, 90 * time.Second, -90 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			transport, b, issuer := newTransport(t)
			issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
				tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "DPoP", "expires_in": 300})
			})
			status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", "{}"))
			want := skew
			if skew.Abs() < 2*time.Second {
				want = 0
			}
			got := time.Duration(readProof(t, b.calls[0].Header).IssuedAt-time.Now().Unix()) * time.Second
			if (got - want).Abs() > time.Second {
				t.Errorf("with a clock that is off by %v, iat is off by %v", skew, got)
			}
		})
	}
}

func TestTokenOfAnotherTypeIsRefused(t *testing.T) {
	for group, tokenType := range map[string]string{"b2b": "Bearer", "signdoc": "DPoP"} {
		synctest.Test(t, func(t *testing.T) {
			transport, b, issuer := newTransport(t)
			issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
				tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": tokenType, "expires_in": 300})
			})
			path := map[string]string{"b2b": "/v0/b2b/ades/pades", "signdoc": "/v1/signdoc/pades"}[group]
			//nolint:bodyclose // there is none
			if _, err := transport.RoundTrip(newRequest(t, "POST", path, "{}")); err == nil {
				t.Errorf("a token of type %s was used for %s", tokenType, group)
			}
			if len(b.calls) != 0 {
				t.Error("the call was sent")
			}
		})
	}
}

// A slow answer says nothing about the clocks.
func TestSlowAnswerIsNoClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(9 * time.Second)
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "DPoP", "expires_in": 300})
		})
		status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", "{}"))
		if got := readProof(t, b.calls[0].Header).IssuedAt - time.Now().Unix(); got != 0 {
			t.Errorf("iat is off by %d s", got)
		}
	})
}

// net/http sends a request again over HTTP/2 if it can read its body again.
func TestF29TokenRequestWithAProofLooksUnretryable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, issuer := newTransport(t)
		source := transport.Sources["b2b"]
		source.Attach(tokenauth.Runtime{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && r.GetBody != nil {
				t.Error("the token request has GetBody")
			}
			return issuer.Client().Transport.RoundTrip(r)
		})}})
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
