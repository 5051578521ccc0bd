package tokenauth_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A token is used until it expires by the provider's clock, and not after that, even if the
// clocks of the processes that share it are wrong.
func TestSharedTokensWithClocksThatDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		writer, reader time.Duration // how much the provider's clock is ahead of theirs
		unknown        bool          // the reader does not know the provider's clock
		want           time.Duration // how long the reader uses the token
	}{
		"the same":                         {want: 270 * time.Second},
		"reader ahead of the writer":       {writer: time.Minute, reader: 0, want: 270 * time.Second},
		"all ahead":                        {writer: -time.Minute, reader: -2 * time.Minute, want: 270 * time.Second},
		"reader behind, and does not know": {writer: time.Minute, unknown: true, want: 210 * time.Second},
		"reader ahead, and does not know":  {writer: -time.Minute, unknown: true, want: 150 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				defer server.Close()
				store := newMemoryStore()
				writer := newNode(t, server, store)
				writer.Attach(tokenauth.Runtime{Client: &http.Client{Transport: skewed{server.Client().Transport, test.writer}}, Store: store})
				getToken(t, writer.Source)
				if !test.unknown {
					// This is the same moment on the reader's clock.
					advance(test.writer - test.reader)
				}
				reader := newNode(t, server, store)
				client := server.Client() // its responses have no Date
				if !test.unknown {
					client = &http.Client{Transport: skewed{server.Client().Transport, test.reader}}
				}
				reader.Attach(tokenauth.Runtime{Client: client, Store: store})
				token := getToken(t, reader.Source)
				if life := time.Until(token.ExpiresAt()); (life - test.want).Abs() > time.Second {
					t.Errorf("it is used for %v, want %v", life, test.want)
				}
				for range 100 {
					getToken(t, reader.Source)
				}
				wantRequests(t, server, 1)
			})
		})
	}
}

// A token with a time that is not plausible is not taken, since its age is not known.
func TestTokenThatIsDatedByAWrongClockIsNotShared(t *testing.T) {
	const unknown = time.Duration(-1)
	for name, test := range map[string]struct {
		writer, reader time.Duration // by how much the provider's clock is ahead of theirs
	}{
		"writer far behind":                                 {writer: 11 * time.Minute, reader: 9 * time.Minute},
		"writer far ahead":                                  {writer: -11 * time.Minute, reader: -9 * time.Minute},
		"writer far ahead, reader right":                    {writer: -11 * time.Minute},
		"both far ahead":                                    {writer: -11 * time.Minute, reader: -11 * time.Minute},
		"writer far ahead, reader without the difference":   {writer: -time.Hour, reader: unknown},
		"writer ahead without the difference, reader right": {writer: unknown, reader: -2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				defer server.Close()
				store := newMemoryStore()
				for _, ahead := range []time.Duration{test.writer, test.reader} {
					node := newNode(t, server, store)
					if ahead != unknown {
						node.Attach(tokenauth.Runtime{Client: &http.Client{Transport: skewed{server.Client().Transport, ahead}}, Store: store})
					}
					getToken(t, node.Source)
				}
				wantRequests(t, server, 2)
			})
		})
	}
}

// skewed is a connection to a provider whose clock differs.
type skewed struct {
	http.RoundTripper
	by time.Duration
}

func (s skewed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Header.Set("Date", time.Now().Add(s.by).UTC().Format(http.TimeFormat))
	}
	return res, err
}
