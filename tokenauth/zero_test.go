package tokenauth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// wantMisconfigured fails the test unless err is an Error with CauseConfiguration.
func wantMisconfigured(t *testing.T, what string, err error) {
	t.Helper()
	if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseConfiguration || !failure.RetryAt.IsZero() {
		t.Errorf("%s: error is %v, want one that says configuration", what, err)
	}
}

// If a program uses a zero value instead of a constructor, an error says so.
func TestZeroSourceHasNoToken(t *testing.T) {
	for name, attach := range map[string]func(*tokenauth.Source){
		"alone":          func(*tokenauth.Source) {},
		"with a Runtime": func(s *tokenauth.Source) { s.Attach(tokenauth.Runtime{}) },
	} {
		t.Run(name, func(t *testing.T) {
			source := new(tokenauth.Source)
			defer source.Close()
			attach(source)
			source.Warm()
			_, err := source.Token(t.Context())
			wantMisconfigured(t, "Token", err)
			_, err = source.TokenFor(t.Context(), time.Minute)
			wantMisconfigured(t, "TokenFor", err)
			wantMisconfigured(t, "Refresh", source.Refresh(t.Context()))
			if status := source.Status(); status.State != tokenauth.StateNone || status.Err != nil || source.Ready() || source.String() == "" {
				t.Errorf("the status is %+v", status)
			}
		})
	}
}

func TestZeroProviderHasNoMetadata(t *testing.T) {
	provider := new(tokenauth.Provider)
	_, err := provider.Metadata(t.Context(), nil)
	wantMisconfigured(t, "Metadata", err)
	if clock := provider.Clock(); clock.Known || provider.Issuer() != "" {
		t.Errorf("it is %q, whose clock is %+v", provider.Issuer(), clock)
	}
}

func TestMetadataIsReadWithTheDefaultClient(t *testing.T) {
	server := tokenauthtest.NewHTTPServer()
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	metadata, err := newTestProvider(t, server).Metadata(t.Context(), nil)
	if err != nil || metadata.Issuer != server.Issuer() {
		t.Errorf("the metadata is %+v, error %v", metadata, err)
	}
}

// Without a Runtime there is no attempt, so the Source does not hold back when one is
// attached.
func TestSourceThatNobodyUsesDoesNotBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newDetachedSource(t, server)
		source.Warm()
		for range 3 {
			_, err := source.Token(t.Context())
			wantMisconfigured(t, "Token", err)
			wantMisconfigured(t, "Refresh", source.Refresh(t.Context()))
		}
		defer source.Attach(tokenauth.Runtime{Client: server.Client()})()
		wantBearer(t, getToken(t, source), "token-1")
	})
}

// A rejection without an attempt does not count as a renewal either.
func TestRejectionThatNobodyCouldRepairIsNoRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newDetachedSource(t, server)
		detach := source.Attach(tokenauth.Runtime{Client: server.Client()})
		token := getToken(t, source)
		detach()
		if renew(t.Context(), source, token) != nil {
			t.Error("it was renewed")
		}
		defer source.Attach(tokenauth.Runtime{Client: server.Client()})()
		wantBearer(t, renew(t.Context(), source, token), "token-2")
	})
}

// If a token expires while nobody uses its source, the next caller gets a new one.
func TestSourceIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newDetachedSource(t, server)
		detach := source.Attach(tokenauth.Runtime{Client: server.Client()})
		wantBearer(t, getToken(t, source), "token-1")
		detach()
		advance(260 * time.Second) // now the token is stale
		wantBearer(t, getToken(t, source), "token-1")
		wantRequests(t, server, 1)
		defer source.Attach(tokenauth.Runtime{Client: server.Client()})()
		wantBearer(t, getToken(t, source), "token-1")
		wantRequests(t, server, 2)
		wantBearer(t, getToken(t, source), "token-2")
	})
}

func TestNoTokenIsNotRenewed(t *testing.T) {
	server := tokenauthtest.NewServer()
	source := newTestSource(t, server)
	getToken(t, source)
	if token := renew(context.Background(), source, nil); token != nil {
		t.Error("there is another token for none")
	}
}

func TestZeroKeyIsNone(t *testing.T) {
	for name, key := range map[string]*tokenauth.Key{"nil": nil, "zero": new(tokenauth.Key)} {
		public, err := key.Public()
		private, privateErr := key.PrivatePEM()
		if err == nil || privateErr == nil || key.ID() != "" || key.Thumbprint() != "" {
			t.Errorf("%s: it has the public part %q and the private part %v", name, public, private)
		}
	}
	// A Source cannot use it either, with a store or without.
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		source := newTestSource(t, server, func(c *tokenauth.Config) {
			c.AuthMethod = tokenauth.PrivateKeyJWT
			c.Credentials = func() (tokenauth.Credentials, error) {
				return tokenauth.Credentials{ClientID: "client", Key: new(tokenauth.Key)}, nil
			}
		})
		source.Attach(tokenauth.Runtime{Client: server.Client(), Store: newMemoryStore()})
		if failure := getError(t, source); failure.Cause != tokenauth.CauseConfiguration {
			t.Errorf("error is %v, want one that says configuration", failure)
		}
	})
}

func TestResponseWithoutABodyHasNoErrorCode(t *testing.T) {
	if code := tokenauth.ErrorCode(new(http.Response)); code != "" {
		t.Errorf("the error code is %q", code)
	}
}
