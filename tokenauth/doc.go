// Package tokenauth is an OAuth 2.0 client-credentials client for a proxy. It
// finds the OpenID provider's endpoints, obtains and renews access tokens, and
// puts them on outgoing calls.
//
// The parts, in the order in which a call meets them:
//
//   - A [Table] names every call that may be made, which authorization it
//     carries and whether it may be sent twice.
//   - A [Source] holds the token of one client for one set of scopes. Reading a
//     fresh token is one atomic load; everything else happens behind it, with the
//     HTTP client of the [Runtime] that is attached to it.
//   - A [Provider] is what is known of the OpenID provider (discovery).
//   - A [Transport] is the http.RoundTripper that attaches the token to a copy
//     of the request, notices when it was rejected, and repeats the call where
//     the table allows that.
//
// [Check] tries a client before any of that, and hints at what is wrong with it.
//
// Secrets and tokens are of type [Secret], which no formatting verb, logger or
// encoder prints.
package tokenauth
