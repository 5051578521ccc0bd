package itest

import (
	"errors"
	"net/http"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A life is the life of the tokens of a setup that works.
type life struct {
	name        string
	credentials tokenauth.Credentials
	source      *tokenauth.Source
	first       *tokenauth.Token
	renewed     bool
}

// tryLives obtains tokens with all setups that work, and renews them, with another secret or
// key if the setup rotates them.
func tryLives(t *testing.T, p provider, issuer string, setups []setup) {
	t.Helper()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	provider := newProvider(t, issuer)
	var lives []*life
	for _, s := range setups {
		if s.want.at(p) != works || !s.together() {
			continue
		}
		l := &life{name: s.name, credentials: s.used.credentials(t)}
		config := s.used.config(provider, func() (tokenauth.Credentials, error) { return l.credentials, nil })
		var err error
		if l.source, err = tokenauth.NewSource(config); err != nil {
			t.Fatal(err)
		}
		defer l.source.Close()
		l.source.Attach(tokenauth.Runtime{Client: client})
		if l.first, err = l.source.Token(t.Context()); err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		lives = append(lives, l)
		if s.rotated != nil {
			p.register(t, *s.rotated.registered)
			checkRotated(t, s.rotated.before.at(p), config, client)
			l.credentials = s.rotated.used.credentials(t)
		}
	}
	// A source accepts an operator's refresh only some seconds after the last attempt.
	eventually(t, func() bool {
		waits := false
		for _, l := range lives {
			l.renew(t)
			waits = waits || !l.renewed
		}
		return !waits
	})
}

// checkRotated checks the outcome of the old credential.
func checkRotated(t *testing.T, want string, config tokenauth.Config, client *http.Client) {
	t.Helper()
	report, err := tokenauth.Check(t.Context(), config, client)
	if err != nil {
		t.Fatal(err)
	}
	got := works
	if report.Err != nil {
		got = report.Err.Cause.String()
	}
	if got != want {
		t.Errorf("with the credential before, it is %s, want %s", got, want)
	}
}

// renew obtains another token, unless it is too soon for that.
func (l *life) renew(t *testing.T) {
	t.Helper()
	if l.renewed {
		return
	}
	err := l.source.Refresh(t.Context())
	if errors.As(err, new(*tokenauth.TooSoonError)) {
		return
	}
	l.renewed = true
	if err != nil {
		t.Errorf("%s: renewing the token: %v", l.name, err)
		return
	}
	second, err := l.source.Token(t.Context())
	if err != nil || second.Authorization() == l.first.Authorization() {
		t.Errorf("%s: the token is the same after its renewal, or %v", l.name, err)
	}
}
