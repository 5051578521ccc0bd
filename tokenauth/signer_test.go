package tokenauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// device is a crypto.Signer that can be made to do something else than to sign.
type device struct {
	crypto.Signer
	instead func(digest []byte) ([]byte, error)
}

func (d *device) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if d.instead != nil {
		return d.instead(digest)
	}
	return d.Signer.Sign(random, digest, opts)
}

// newDevice returns a device with a key on P-256.
func newDevice(t testing.TB) *device {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &device{Signer: private}
}

// outsideKey returns the key that d holds.
func outsideKey(t testing.TB, d crypto.Signer, algorithms ...string) *tokenauth.Key {
	t.Helper()
	key, err := tokenauth.NewKey(tokenauth.NewQueue(1).Signer(d), "", algorithms...)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newDPoPServer returns a server whose tokens are bound to a key.
func newDPoPServer() *tokenauthtest.Server {
	server := tokenauthtest.NewServer()
	server.HandleDiscovery(func(w http.ResponseWriter, _ *http.Request) {
		document := server.Document()
		document["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "private_key_jwt"}
		tokenauthtest.WriteJSON(w, 200, document)
	})
	server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "DPoP", "expires_in": 300})
	})
	return server
}

func TestKeysOutsideAuthenticateAndProve(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, test := range []struct {
		alg string
		key crypto.Signer
	}{{"ES256", ec}, {"ES512", ec521}, {"RS256", rsaKey}, {"PS384", rsaKey}, {"EdDSA", ed}} {
		t.Run(test.alg, func(t *testing.T) {
			key := outsideKey(t, test.key, test.alg)
			server := newDPoPServer()
			source := newTestSource(t, server, func(c *tokenauth.Config) {
				c.DPoP = true
				c.Credentials = func() (tokenauth.Credentials, error) {
					return tokenauth.Credentials{ClientID: "client", Key: key, DPoPKey: key}, nil
				}
			})
			token := getToken(t, source)
			if token.Thumbprint() != key.Thumbprint() {
				t.Errorf("the token is bound to %s, want %s", token.Thumbprint(), key.Thumbprint())
			}
			if status := source.Status(); status.AssertionAlgorithm != test.alg || status.ProofAlgorithm != test.alg {
				t.Errorf("signed with %s and %s, want %s", status.AssertionAlgorithm, status.ProofAlgorithm, test.alg)
			}
			request := server.TokenRequests()[0]
			for _, text := range []string{request.Form.Get("client_assertion"), request.Header.Get("DPoP")} {
				jws, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(test.alg)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := jws.Verify(test.key.Public()); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		})
	}
}

func TestKeyOutsideShowsNoPrivatePart(t *testing.T) {
	d := newDevice(t)
	key := outsideKey(t, d)
	if _, err := key.PrivatePEM(); err == nil {
		t.Error("a key that is not in memory has a private PEM")
	}
	if text := fmt.Sprintf("%v %+v %#v", key, *key, key); strings.Contains(text, fmt.Sprint(d.Signer.(*ecdsa.PrivateKey).X)) {
		t.Errorf("it prints as %s", text)
	}
	public, err := key.Public()
	if err != nil || strings.Contains(string(public), `"d"`) {
		t.Errorf("its public half is %s (%v)", public, err)
	}
}

func TestTryingAKeyOutside(t *testing.T) {
	d := newDevice(t)
	key := outsideKey(t, d)
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
	other := newDevice(t)
	d.instead = func(digest []byte) ([]byte, error) { return other.Sign(rand.Reader, digest, crypto.SHA256) }
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "does not fit its public key") {
		t.Errorf("with the signature of another key, the error is %v", err)
	}
	if err := new(tokenauth.Key).Try(t.Context()); err == nil {
		t.Error("the zero key signs")
	}
}

func TestAlgorithmsOfAKeyOutsideFitIt(t *testing.T) {
	signer := tokenauth.NewQueue(1).Signer(newDevice(t))
	if _, err := tokenauth.NewKey(signer, "", "RS256"); err == nil || !strings.Contains(err.Error(), "RS256") {
		t.Errorf("error is %v", err)
	}
	small, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if _, err := tokenauth.NewKey(tokenauth.NewQueue(1).Signer(small), ""); err == nil {
		t.Error("a key on P-224 is accepted")
	}
	key, err := tokenauth.NewKey(signer, tokenauth.NoKeyID)
	if err != nil || key.ID() != "" {
		t.Errorf("its kid is %q (%v), want none", key.ID(), err)
	}
}

// A key that does not sign is not the provider's fault, and no request is sent.
func TestKeyOutsideThatFails(t *testing.T) {
	for name, instead := range map[string]func([]byte) ([]byte, error){
		"an error":        func([]byte) ([]byte, error) { return nil, errors.New("the token is not in its slot") },
		"a context's":     func([]byte) ([]byte, error) { return nil, context.Canceled },
		"not a signature": func([]byte) ([]byte, error) { return []byte("signed"), nil },
		"a panic":         func([]byte) ([]byte, error) { panic("device") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			key := outsideKey(t, d)
			server := tokenauthtest.NewServer()
			d.instead = instead
			source := newTestSource(t, server, func(c *tokenauth.Config) {
				c.Credentials, c.AuthMethod = tokenauth.PrivateKey("client", key), tokenauth.PrivateKeyJWT
			})
			_, err := source.Token(t.Context())
			if sent := server.TokenRequests(); len(sent) > 0 {
				t.Errorf("%d token requests were sent", len(sent))
			}
			failure, ok := errors.AsType[*tokenauth.Error](err)
			if _, isKey := errors.AsType[*tokenauth.KeyError](err); !ok || !isKey || failure.Cause != tokenauth.CauseConfiguration || failure.Hint() == "" {
				t.Errorf("error is %v", err)
			}
			if errors.Is(err, context.Canceled) {
				t.Error("the error looks as if the caller had left")
			}
		})
	}
}

func TestKeyOutsideThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t)
		key := outsideKey(t, d)
		server := tokenauthtest.NewServer()
		repaired := make(chan struct{})
		d.instead = func([]byte) ([]byte, error) { <-repaired; return nil, errors.New("repaired") }
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.Credentials, c.AuthMethod = tokenauth.PrivateKey("client", key), tokenauth.PrivateKeyJWT
			c.Timeout = 3 * time.Second
		})
		start := time.Now()
		_, err := source.Token(t.Context())
		if failure, ok := errors.AsType[*tokenauth.KeyError](err); !ok || !failure.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		close(repaired)
	})
}

// A call whose caller leaves while the key signs ends as the caller's context says.
func TestProofThatHangsEndsWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t)
		key := outsideKey(t, d)
		source := newTestSource(t, newDPoPServer(), func(c *tokenauth.Config) {
			c.DPoP = true
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret("secret"), DPoPKey: key}, nil
			}
		})
		token := getToken(t, source)
		repaired := make(chan struct{})
		d.instead = func([]byte) ([]byte, error) { <-repaired; return nil, errors.New("repaired") }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", nil)
		if _, err := source.Authorize(req, token, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		// A call without a deadline does not wait for ever.
		_, err := source.Authorize(req.WithContext(t.Context()), token, "")
		if failure, ok := errors.AsType[*tokenauth.KeyError](err); !ok || !failure.Timeout() {
			t.Errorf("without a deadline, the error is %v", err)
		}
		close(repaired)
	})
}

// A TPM takes 20 ms for a signature and makes one at a time. A thousand callers get
// theirs in order, or leave by their own deadlines; and no goroutine stays, or the bubble
// would not end.
func TestManyCallersOfASlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, takes = 1000, 20 * time.Millisecond
		d := newDevice(t)
		var mu sync.Mutex
		var served []int
		d.instead = func(digest []byte) ([]byte, error) {
			time.Sleep(takes)
			mu.Lock()
			defer mu.Unlock()
			served = append(served, int(digest[0])<<8|int(digest[1]))
			return digest, nil
		}
		signer := tokenauth.NewQueue(1).Signer(d)
		start := time.Now()
		var all sync.WaitGroup
		for i := range callers {
			patience := time.Minute
			if i%3 == 0 {
				patience = 5 * time.Second // those after the 250th leave before
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			all.Go(func() {
				defer cancel()
				signature, err := signer.Sign(ctx, []byte{byte(i >> 8), byte(i)}, crypto.SHA256)
				switch waited := time.Since(start); {
				case err == nil && (len(signature) != 2 || waited > patience):
					t.Errorf("caller %d got %x after %v", i, signature, waited)
				case err != nil && (!errors.Is(err, context.DeadlineExceeded) || waited != patience):
					t.Errorf("caller %d got %v after %v", i, err, waited)
				}
			})
			synctest.Wait() // so that the callers come one after the other
		}
		all.Wait()
		if !slices.IsSorted(served) {
			t.Errorf("they were served in the order %v", served)
		}
		left := callers - len(served)
		if most := (callers - 250 + 2) / 3; left > most || left < most/2 {
			t.Errorf("%d callers left, want some %d", left, most)
		}
		if took := time.Since(start); took != time.Duration(len(served))*takes {
			t.Errorf("it took %v for %d signatures", took, len(served))
		}
	})
}

// What hangs is bounded by the turns, and those who come later leave by themselves.
func TestQueueIsNotEndless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, repaired := tokenauth.NewQueue(2), make(chan struct{})
		var calls atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := queue.Do(ctx, func() error {
					calls.Add(1)
					<-repaired
					return nil
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
			})
		}
		all.Wait()
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls hang, want 2", n)
		}
		close(repaired)
		if err := queue.Do(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}

// Who waits behind a call that hangs hears that, and not that others are using it.
func TestQueueTellsBusyFromHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, repaired := tokenauth.NewQueue(1), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { _ = queue.Do(t.Context(), func() error { <-repaired; return nil }) })
		synctest.Wait()
		wait := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			return queue.Do(ctx, func() error { return nil })
		}
		for _, want := range []string{"others are using it", "has not returned for 6s", "has not returned for 9s"} {
			if err := wait(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %s", err, want)
			}
		}
		close(repaired)
		all.Wait()
		if err := wait(); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}

// What seals shared tokens is not the key if that is not in memory.
func TestKeysOutsideShareTokensByASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		defer server.Close()
		store, key := newMemoryStore(), outsideKey(t, newDevice(t))
		with := func(secret string) func(*tokenauth.Config) {
			return func(c *tokenauth.Config) {
				c.AuthMethod = tokenauth.PrivateKeyJWT
				c.Credentials = func() (tokenauth.Credentials, error) {
					return tokenauth.Credentials{ClientID: "client", Key: key, ShareSecret: tokenauth.NewSecret(secret)}, nil
				}
			}
		}
		for i, secret := range []string{"one", "one", "another", "", ""} {
			n := newNode(t, server, store, with(secret))
			if _, err := n.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			if shared := n.last(t).Shared; shared != (i == 1) {
				t.Errorf("node %d with the secret %q has a token of another: %v", i, secret, shared)
			}
		}
	})
}

// dialer is a Signer that is somewhere on the network.
type dialer struct {
	crypto.Signer
	address string
}

func (d dialer) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return d.Signer.Sign(rand.Reader, digest, opts)
}

// A connection to what holds the key is none to the server that the call goes to, whose
// time limits begin when it is made.
func TestConnectionToTheKeyIsNotThatOfTheCall(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	key, err := tokenauth.NewKey(dialer{newDevice(t).Signer, listener.Addr().String()}, "")
	if err != nil {
		t.Fatal(err)
	}
	source := newTestSource(t, newDPoPServer(), func(c *tokenauth.Config) {
		c.DPoP = true
		c.Credentials = func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret("secret"), DPoPKey: key}, nil
		}
	})
	token := getToken(t, source)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		ConnectStart: func(_, address string) { t.Errorf("the call's trace shows a connection to %s", address) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Authorize(req, token, ""); err != nil {
		t.Error(err)
	}
}
