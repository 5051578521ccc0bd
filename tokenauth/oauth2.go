package tokenauth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"
)

// OAuth2 returns s as an oauth2.TokenSource. ctx limits every wait for a token. If s
// has tokens that are bound to a key, the oauth2.TokenSource returns an *Error with
// CauseConfiguration: such a token cannot be used without the proofs that a Transport
// makes. Other errors are those of Token.
//
// A client of oauth2.NewClient keeps a token until it expires. So it does not notice
// that a token was revoked, and the context of a request does not limit its wait for a
// token. An oauth2.Token has the token as plain text, and shows it when it is printed.
func (s *Source) OAuth2(ctx context.Context) oauth2.TokenSource {
	return tokenSourceFunc(func() (*oauth2.Token, error) {
		if s.config.DPoP {
			return nil, &Error{Op: opToken, Cause: CauseConfiguration, Err: errors.New("tokens that are bound to a key need proofs, which an oauth2.TokenSource cannot make")}
		}
		token, err := s.Token(ctx)
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{
			AccessToken: token.secret.Reveal(),
			TokenType:   "Bearer",
			Expiry:      readClocks().wallTime(token.expiresAt).Round(0), // wall clock, as oauth2 compares it
		}, nil
	})
}

// tokenSourceFunc is a function as an oauth2.TokenSource.
type tokenSourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f tokenSourceFunc) Token() (*oauth2.Token, error) { return f() }
