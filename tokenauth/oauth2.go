package tokenauth

import (
	"context"

	"golang.org/x/oauth2"
)

// OAuth2 returns s as an oauth2.TokenSource, for code that wants one; ctx
// bounds every wait for a token. This is the one place where a token leaves
// the package in a type that prints it: the AccessToken of an oauth2.Token is
// an ordinary string.
func (s *Source) OAuth2(ctx context.Context) oauth2.TokenSource {
	return tokenSourceFunc(func() (*oauth2.Token, error) {
		token, err := s.Token(ctx)
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{
			AccessToken: token.secret.Reveal(),
			TokenType:   "Bearer",
			Expiry:      token.expiresAt.Round(0), // wall clock, as oauth2 compares it
		}, nil
	})
}

// tokenSourceFunc is a function as an oauth2.TokenSource.
type tokenSourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f tokenSourceFunc) Token() (*oauth2.Token, error) { return f() }
