// Package gateway makes the calls of a table, with the tokens of package tokenauth.
//
//   - A [Table] lists every call that may be made, the authorization that the call carries,
//     and whether it may be retried.
//   - A [Transport] is the http.RoundTripper that makes these calls. It attaches the token
//     to a copy of the request, notices if the token was rejected, and retries the call
//     where the table allows that. [NewClient] returns a client with a Transport.
//   - An [Exchange] is what a Transport knows of one call, for a proxy that tries a call
//     several times.
package gateway
