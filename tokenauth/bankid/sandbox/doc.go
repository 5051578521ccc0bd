// Package sandbox simulates BankID for tests and development: BankID OIDC, as
// far as the client-credentials grant goes, and part of the eSign APIs. It is
// an [http.Handler] without goroutines or timers, and reads the time only from
// the time package, so that it runs in a testing/synctest bubble.
//
// It is for tests and development only. What it signs, it signs with a key that
// it made at its start and that nobody vouches for; its client secrets are
// published in its source, and whoever can reach it can use it. Every answer
// carries the header "Bankid-Esign-Environment: sandbox".
//
// # What it simulates
//
//   - BankID OIDC below the path of the issuer: the discovery document, the
//     JWKS, and a token endpoint with private_key_jwt, client_secret_basic,
//     client_secret_post and DPoP, with the errors of Keycloak, on which BankID
//     OIDC is based. Access tokens are ES256 JWTs. [Options] can add clients to
//     the built-in ones, of which one is for B2B.
//   - SignDoc v1: POST, GET and DELETE /v1/signdoc/pades.
//   - Timestamping: POST, GET and DELETE /v1/timestamp/pades/lta.
//   - CSC v2: POST /csc/v2/info, /csc/v2/oauth2/token and
//     /csc/v2/credentials/list.
//   - B2B v0: POST to each of the nine paths of the B2B signer below /v0/b2b,
//     and B2B CSC below /v0/b2b/csc/v2 (info, credentials/list,
//     credentials/info, signatures/signHash). All but info need a token that is
//     bound to a key, and a DPoP proof by that key.
//
// Tokens, their expiry, scopes and binding, single use of codes, service tokens,
// assertions and proofs, and one-shot downloads are enforced, with the statuses and bodies that BankID
// documents for each API. Paths are compared as they are escaped on the wire;
// another spelling is 404.
//
// # What it does not
//
//   - In SignDoc and timestamping no document is signed: what comes back are the
//     bytes that were uploaded, and a "sandbox" member of the answer says so.
//   - No person signs: an order is complete when [Options.SigningDelay] has
//     passed.
//   - CSC has no authorize endpoint yet: every code that starts with
//     "sandbox-" is good, once.
//   - Of the endpoints that the discovery document names, only the token
//     endpoint and the JWKS exist.
//   - B2B makes real detached CMS signatures and real PKCS #1 signatures, but no
//     OCSP response, no SEID-SDO, no PAdES and no XAdES: in their place is text
//     or the uploaded document, and the answer says so in its own members.
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
//     answers a bad one as RFC 6750 says; its service tokens live 300 s.
//   - A token request without scope gets a token without scopes.
//   - An assertion of an unknown client is answered as an unknown client with a
//     secret is: 401.
//   - The token endpoint answers a missing proof of a client that needs one with
//     invalid_request, as Keycloak does, and a bad proof with
//     invalid_dpop_proof, as BankID's B2B sample quotes it; both are 400.
//   - The URL of a proof must have no query and no fragment, as RFC 9449 asks of
//     clients; Keycloak ignores a query.
//   - B2B has the same window for proofs as Keycloak, remembers each jti as long
//     as its proof could be used, and asks for no nonce.
//   - B2B answers 401 with a DPoP challenge. A missing DPoP header counts before
//     a missing token; a proof by another key than the token is bound to is
//     invalid_dpop_proof; and the scope is looked at last.
//   - B2B answers what is wrong with a request with 400 (413 if it is larger
//     than the sandbox reads) and "invalid_request -- SANDBOX": BankID's own
//     codes are not public.
//   - B2B takes 1 to 15 hashes or documents, and B2B CSC 50 hashes. B2B CSC
//     refuses unknown and null members as B2B does. Names of members are
//     compared without regard to case.
//   - SignDoc, timestamping and CSC refuse bound tokens, with either scheme.
//   - The scope esign/qualified, which only one BankID page names, is unknown.
//
// # Limits
//
// All state is in memory, bounded, and lost at the end of the process: the
// documents of open orders up to 256 MiB, and the last 10,000 CSC codes and
// service tokens. What is oldest gives way, so that an evicted order is 404, an
// evicted service token is unknown, and an evicted code could be used again. So
// could a proof or an assertion, of which the last 10,000 are remembered. A sign
// order is at most 64 MiB of JSON, a B2B request 80 MiB, a DPoP proof 8 KiB; any
// other request 64 KiB.
package sandbox
