// Package sandbox simulates BankID for tests and development: BankID OIDC, as
// far as the client-credentials grant goes, and part of the eSign APIs. It is
// an [http.Handler] without goroutines or timers, and reads the time only from
// the time package, so that it runs in a testing/synctest bubble.
//
// It is for tests and development only. What it signs proves nothing, its
// client secret is published in its source, and whoever can reach it can use
// it. Every answer carries the header "Bankid-Esign-Environment: sandbox".
//
// # What it simulates
//
//   - BankID OIDC below the path of the issuer: the discovery document, the
//     JWKS, and a token endpoint for one client with client_secret_basic and
//     client_secret_post, with the errors of Keycloak, on which BankID OIDC is
//     based. Access tokens are ES256 JWTs.
//   - SignDoc v1: POST, GET and DELETE /v1/signdoc/pades.
//   - Timestamping: POST, GET and DELETE /v1/timestamp/pades/lta.
//   - CSC v2: info, oauth2/authorize, oauth2/token, credentials/list,
//     credentials/info, credentials/authorize and signatures/signHash below
//     /csc/v2. The signatures are ECDSA on P-256, by a certificate of a
//     certification authority that New makes; credentials/info gives both if
//     asked for "certificates": "chain".
//
// Tokens, their expiry and scopes, single use of codes, service tokens and
// signature activation data, the order of CSC's endpoints, and one-shot
// downloads are enforced, with the statuses and bodies that BankID documents
// for each API. Paths are compared as they are escaped on the wire;
// another spelling is 404.
//
// # What it does not
//
//   - No document of an order is signed or timestamped: what comes back are the
//     bytes that were uploaded, and a "sandbox" member of the answer says so.
//   - No person signs: an order is complete when [Options.SigningDelay] has
//     passed.
//   - No person consents: CSC's authorize endpoint redirects at once. For tests
//     without a browser every code that starts with "sandbox-" is good too,
//     once, with any redirect_uri.
//   - Everyone who signs is the same person with the same credential, so that
//     CSC's csc_user_keys_limit never occurs.
//   - Of the endpoints that the discovery document names, only the token
//     endpoint and the JWKS exist.
//   - Documents are not checked beyond their first bytes. The other members of
//     an order have no effect, and unknown ones are ignored.
//
// # Assumptions
//
// BankID's public pages leave these open, and the sandbox had to choose:
//
//   - SignDoc refuses a missing or bad token with 401 and an insufficient scope
//     with 403, both without a body. (Documented: "401 or 403", body optional.)
//   - Status and download of a timestamp order are GET and DELETE as in SignDoc.
//   - An order that is not complete cannot be downloaded: 400.
//   - An order can be collected for two hours.
//   - CSC's token route takes the OIDC token as "Authorization: Bearer" and
//     answers a bad one as RFC 6750 says. That token is all the client
//     authentication it asks for; client_id, client_secret and PKCE are ignored.
//   - CSC's codes live 60 s, its service tokens 300 s, and its signature
//     activation data 60 s. A code that comes with another redirect_uri than it
//     was issued for is lost.
//   - Every redirect URI is registered for the client that is https, or http to
//     a loopback address, and has no fragment and no user.
//   - The order of CSC's service tokens is credentials/list, credentials/info,
//     credentials/authorize, signatures/signHash; only credentials/info may be
//     left out. A call that comes too early is invalid_request and uses up
//     nothing. One that comes too late is token_already_used, like a replay.
//   - A service token is used up at an endpoint even if the call is refused for
//     its content.
//   - CSC's requests and answers are those of the CSC API v2.0.0.2, with the
//     authorization mode "explicit" without anything to enter. numSignatures is
//     the number of hashes, and signHash signs all authorized hashes, in any
//     order, or none. A body of more than 64 KiB is document_too_large.
//   - A token request without scope gets a token without scopes.
//   - The scope esign/qualified, which only one BankID page names, is unknown.
//
// # Limits
//
// All state is in memory, bounded, and lost at the end of the process: the
// documents of open orders up to 256 MiB, and the last 10,000 CSC codes and
// service tokens. What is oldest gives way, so that an evicted order is 404, an
// evicted code or service token is unknown, and an evicted code that starts with
// "sandbox-" could be used again. A sign order is at most 64 MiB of JSON; any
// other request 64 KiB.
package sandbox
