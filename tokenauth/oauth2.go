package tokenauth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"
)

// OAuth2 returns s as an oauth2.TokenSource, for code that wants one; ctx
// bounds every wait for a token. A source of tokens that are bound to a key has
// none for it: the error has CauseConfiguration then, since a bound token is of
// no use without the proofs that a Transport makes.
//
// oauth2.NewClient keeps the token itself until it expires: a token that was
// revoked is not noticed there, and the context of a request does not bound its
// wait. As with Token.Authorization, the token leaves the package as plain text:
// an oauth2.Token prints it.
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
			Expiry:      readClocks().tell(token.expiresAt).Round(0), // wall clock, as oauth2 compares it
		}, nil
	})
}

// tokenSourceFunc is a function as an oauth2.TokenSource.
type tokenSourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f tokenSourceFunc) Token() (*oauth2.Token, error) { return f() }
