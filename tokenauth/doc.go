// Package tokenauth is an OAuth 2.0 client-credentials client for a proxy. It
// finds the OpenID provider's endpoints, obtains and renews access tokens, and
// puts them on outgoing calls.
//
// The parts, in the order in which a call meets them:
//
//   - A [Table] lists every call that may be made, the authorization that the
//     call carries, and whether it may be sent twice.
//   - A [Source] holds the token of one client for one set of scopes. Reading a
//     fresh token is one atomic load. Fetches run in the background, with the HTTP
//     client of the [Runtime] that is attached to the source.
//   - A [Provider] reads and keeps the OpenID provider's configuration (discovery).
//   - A [Transport] is the http.RoundTripper that attaches the token to a copy
//     of the request, notices when it was rejected, and retries the call where
//     the table allows that.
//
// [Check] tries a client before it is used, and gives a hint if something is wrong.
//
// Secrets and tokens are of type [Secret]. No formatting verb, logger or encoder
// prints its value.
package tokenauth
