// Package tokenauth is an OAuth 2.0 client for client credentials (RFC 6749 section 4.4). It
// finds the provider's endpoints, obtains and renews access tokens, and puts them on calls,
// with a proof of possession (DPoP, RFC 9449) where the tokens are bound to a key.
//
// A program makes a [Source] of what it is registered with, and takes an HTTP client from it:
//
//	source, err := tokenauth.NewSource(tokenauth.Config{
//		Issuer:      "https://issuer.example",
//		Credentials: tokenauth.ClientSecret(id, secret),
//		Scopes:      []string{"orders"},
//	})
//	if err != nil {
//		return err
//	}
//	defer source.Close()
//	client, err := source.Client("https://api.example")
//	if err != nil {
//		return err
//	}
//	res, err := client.Get("https://api.example/orders/42")
//
// The parts:
//
//   - A [Source] holds the token of one client for one set of scopes. Reading a fresh token
//     is one atomic load. Fetches run in the background.
//   - A [Provider] reads and keeps the OpenID provider's configuration (discovery). Several
//     sources can share it.
//   - A [Transport] makes calls to one origin. [Source.Client] returns a client with one.
//   - A [Runtime] has the HTTP client, observer and store of a source. A server attaches
//     another one when its configuration changes, and the source keeps its token.
//   - Package gateway makes only the calls of a table, which says for each call what it
//     carries and whether it may be retried. Package bankid has the table of BankID eSign.
//
// [Check] tries a client before it is used, and gives a hint if something is wrong.
//
// Secrets and tokens are of type [Secret]. No formatting verb, logger or encoder
// prints its value.
//
// # Comparison
//
// The program above has 13 lines up to its client. With golang.org/x/oauth2, it has 7:
//
//	config := clientcredentials.Config{
//		ClientID:     id,
//		ClientSecret: secret,
//		TokenURL:     "https://issuer.example/token",
//		Scopes:       []string{"orders"},
//	}
//	client := config.Client(ctx)
//
// It is the better choice if that is enough. The token goes to every host that the program
// calls or is redirected to. A token that the API refuses stays in use until it expires. A
// new token is fetched when the old one has expired, and all calls wait for it, longer than
// their contexts allow. After a failure, every call asks the provider again. The client
// authenticates with a secret, and tokens are not bound to a key. An oauth2.Token shows its
// value when it is printed, and the error of a token request has the provider's response.
//
// With github.com/coreos/go-oidc/v3, which finds the token endpoint, it has 11 lines:
//
//	provider, err := oidc.NewProvider(ctx, "https://issuer.example")
//	if err != nil {
//		return err
//	}
//	config := clientcredentials.Config{
//		ClientID:     id,
//		ClientSecret: secret,
//		TokenURL:     provider.Endpoint().TokenURL,
//		Scopes:       []string{"orders"},
//	}
//	client := config.Client(ctx)
//
// The program does not start while the provider cannot be reached, and does not notice that
// the endpoint moves. The rest is that of x/oauth2. go-oidc is made for ID tokens, which
// this package does not have.
//
// Package oidc of github.com/hashicorp/cap is made for the login of users too: the
// authorization code flow, the implicit flow, and ID tokens. It does not request tokens for
// client credentials, so the program cannot be written with it alone.
//
// [Source.OAuth2] returns a source as an oauth2.TokenSource, for libraries that take one.
package tokenauth
