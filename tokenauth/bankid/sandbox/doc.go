// Package sandbox simulates BankID for tests and development: BankID OIDC, as
// far as the client-credentials grant goes, and part of the eSign APIs. It is
// an [http.Handler] without goroutines, waits only within requests and where a
// [Fault] says so, and reads the time only from the time package, so that it
// runs in a testing/synctest bubble.
//
// It is for tests and development only. What it signs, it signs with a key that
// it made at its start and that nobody vouches for; its client secrets are
// published in its source, and everybody who can reach it can use it. Every response
// carries the header "Bankid-Esign-Environment: sandbox".
//
// # What it simulates
//
//   - BankID OIDC below the path of the issuer: the discovery document, the
//     JWKS, and a token endpoint with private_key_jwt, client_secret_basic,
//     client_secret_post and DPoP, with the errors of Keycloak, on which BankID
//     OIDC is based. Access tokens are ES256 JWTs. [Options] can add clients to
//     the built-in ones: one is for B2B, and one for all other APIs.
//   - SignDoc v1: POST, GET and DELETE /v1/signdoc/pades, POST
//     /v1/signdoc/convert, GET /v1/signdoc/convert/pdf/specs and
//     /v1/signdoc/jwks.
//   - SignDoc v0: POST, GET and DELETE /signdoc/pades, POST /signdoc/convert and
//     /signdoc/convert/pdf, GET /signdoc/convert/pdf/specs.
//   - Timestamping: POST, GET and DELETE /v1/timestamp/pades/lta, and POST
//     /v1/timestamp/token, which issues RFC 3161 time-stamp tokens that verify.
//   - CSC v2: info, oauth2/authorize, oauth2/token, credentials/list,
//     credentials/info, credentials/authorize and signatures/signHash below
//     /csc/v2. The signatures are ECDSA on P-256. credentials/list makes key and
//     certificate of the person, for this signature; credentials/info gives the
//     certificates up to the root if asked for "certificates": "chain".
//   - B2B v0: POST to each of the nine paths of the B2B signer below /v0/b2b,
//     and B2B CSC below /v0/b2b/csc/v2 (info, credentials/list,
//     credentials/info, signatures/signHash). All but info need a token that is
//     bound to a key, and a DPoP proof by that key.
//
// Tokens, their expiry, scopes and binding, PKCE, single use of codes, service
// tokens, signature activation data, assertions and proofs, the order of CSC's
// endpoints, and single downloads are enforced. Statuses and bodies are those that
// BankID documents, as far as it does; below is what is assumed where it does not.
// The page caddy/docs/sandbox.md compares both call by call. Paths are compared as
// they are escaped on the wire; another spelling is 404.
//
// # Signed documents
//
// SignDoc signs with PAdES at baseline B, or at LTA with extendToLTA; the person's
// certificate is made when the documents are downloaded. With addVisualSeals, the first
// page shows name and time. Timestamping brings documents to baseline LTA. B2B's
// ades/pades signs at baseline B or LT.
//
// They add incremental updates, so that the uploaded document is the beginning of the
// signed one, and earlier signatures stay valid. Documents can have cross-reference
// tables, streams or both, be linearized, have a form, and be signed already. Documents
// that are encrypted, or whose cross-reference is broken, are refused, as are those with
// bytes before their header, and for signing those that are certified or whose form an
// earlier signature locks.
//
// # What only the sandbox has
//
// BankID does not have these paths. They ask for no token, so a program that
// serves the sandbox has to listen on loopback only, as this project's Caddy
// module and its command "caddy bankid-esign sandbox" do.
//
//   - POST /sandbox/orders?sign_id=… with {"status": "REJECTED"} plays the
//     signer: it puts an order into that state: ORDER_RECEIVED, USER_SIGNING,
//     REJECTED, FAILED, TIMED_OUT or SIGN_COMPLETED. From then on the order no
//     longer completes by itself, so ORDER_RECEIVED holds it, until its
//     timeoutSeconds have passed and it is TIMED_OUT. No order leaves one of the
//     last four states, or goes back: 409. With {"signer": "14838510036"}, beside a
//     status or alone, it chooses the person with that national identity number. In
//     Go, a person signs with [Server.SignOrder] and rejects with
//     [Server.RejectOrder].
//   - GET /sandbox/persons lists who can sign. In Go, that is [Persons]. The persons
//     are invented, and their national identity numbers are nobody's.
//   - GET /sandbox/ca.pem is the certificate of the root, in PEM: what a verifier has
//     to trust. Each sandbox makes its own and throws it away.
//   - GET /sandbox/root.cer and /sandbox/ca1a.cer are the certificates of the root and
//     of the authority below it, in DER; GET /sandbox/root.crl and
//     /sandbox/ca1a.crl are their revocation lists; POST /sandbox/ocsp and GET
//     /sandbox/ocsp/… are the OCSP responder of the latter. The certificates name
//     these URLs.
//   - GET /sandbox/logo.png is the logo that info of CSC and B2B CSC names.
//   - GET / is the desk, a page for the developer of an application. The paths below
//     /sandbox/desk/ and the files that the pages need belong to it, POST
//     /sandbox/consent to the page of CSC.
//   - PUT /sandbox/jwks?client_id=… with a JWK set or a JWK registers the public keys
//     of a client, instead of those that it had. In Go, that is
//     [Server.RegisterKeys].
//   - POST /sandbox/faults with a [Fault] in JSON makes something go wrong, GET
//     lists the faults there are, and DELETE ends them. In Go, that is
//     [Server.Inject], [Server.Faults] and [Server.ClearFaults].
//
// # Pages
//
// The page on which a person signs an order of SignDoc is /{lang}/{sign_id}, with the
// languages nb, nn and en. BankID has it at another host than the APIs. Opening it holds
// the order in USER_SIGNING until somebody signs or rejects it. Then the browser goes to
// redirectUrl, as it was in the order, if that is a URL that browsers go to. With
// [Options.Manual], an order waits for its page in any case.
//
// CSC's authorize endpoint has a page for browsers. A request is of a browser if its
// Sec-Fetch-Mode is "navigate", or, without that field, if it accepts text/html and
// application/xhtml+xml. [Options.AuthorizePage] can fix who sees it.
//
// The desk at / shows the last requests, and why each of them was refused; orders, with
// buttons; faults, with a form; and the clients. It shows no tokens. It is live by
// server-sent events, until [Server.Close].
//
// Pages and control answer requests whose Host is localhost, a loopback address or the host
// of the issuer. Other hosts, and forms of other origins, get 403. Nothing may frame the
// pages, and their content security policy allows no inline script.
//
// # Certificates
//
// An authority with the name "SANDBOX BankID CA 1a", below a root, issues all
// certificates. Nothing is ever revoked; the OCSP responder does not know serial
// numbers that the authority has not issued. All times are those of the sandbox's
// clock.
//
//   - A person's certificate is made for one signature and valid for 15 minutes. It has
//     the profile of BankID's preproduction: given name, surname and serialNumber, the
//     usages digitalSignature and contentCommitment, BankID's policy and that of
//     qualified certificates with a key in a device, statements that it is a
//     qualified one for signatures, and BankID's extensions 2.16.578.1.61.2.1
//     (country), 2 (scheme) and 3 (PID).
//   - The certificate of the seal is a qualified one for seals, of an organisation with
//     a synthetic number. That of the time-stamping authority is one too, for
//     time-stamps only. They are valid from ten years before the start of the sandbox
//     to ten years after it, so that they last if its clock is moved.
//
// # Faults
//
// A [Fault] has one [Effect]. Those on requests can be restricted to a client, a
// method, a path and a number of requests. In the body of POST /sandbox/faults:
//
//	{"effect": "delay", "delay": "2s", "client_id": "sandbox-client"}
//	{"effect": "status", "status": 429, "retry_after": "30s", "count": 3}
//	{"effect": "hang", "method": "DELETE", "path": "/v1/signdoc/pades", "late": true}
//	{"effect": "reset", "path": "/v1/signdoc/pades", "count": 1}
//	{"effect": "broken_json", "path": "/auth/realms/sandbox/protocol/openid-connect/token"}
//	{"effect": "demand_nonce"}
//
// Durations are Go's: "1.5s", "2m". A "late" fault lets the request take effect,
// and spoils only its response. Some documented errors have no cause in the
// sandbox; a fault returns them by their code. No document says whether the
// following one uses up the service token, so a fault can do either:
//
//	{"effect": "status", "status": 503, "code": "csc_user_keys_limit", "path": "/csc/v2/credentials/list"}
//	{"effect": "status", "status": 503, "code": "csc_user_keys_limit", "path": "/csc/v2/credentials/list", "late": true}
//
// The others change the sandbox at once:
//
//	{"effect": "revoke_tokens", "client_id": "sandbox-client"}
//	{"effect": "move_clock", "offset": "-40s"}
//	{"effect": "rotate_key", "disable_old": true}
//
// # What it does not
//
//   - No document is converted. A document that was to be converted comes back with a
//     warning.
//   - An order that nobody drives is complete when [Options.SigningDelay] has passed,
//     unless its timeoutSeconds pass first. The first of [Persons] signs it, unless
//     another one is chosen.
//   - No person consents if no browser asks: CSC's authorize endpoint then redirects at
//     once. For tests without a redirect every code that starts with "sandbox-" is good too, once,
//     with any redirect_uri and with [CodeVerifier] as its code_verifier. Codes that
//     it issues start with "SANDBOX-".
//   - A person has one credential in CSC, so that csc_user_keys_limit is only had by a
//     fault.
//   - Of the endpoints that the discovery document names, only the token
//     endpoint and the JWKS exist.
//   - B2B makes real detached CMS signatures, real PKCS #1 signatures and real
//     OCSP responses, but no SEID-SDO and no XAdES: instead, the response
//     has text or the uploaded document, and says so in its own members. It makes PAdES
//     with SHA-256 and padding v1.5, whatever algorithms a request names.
//     Of the signatures that come to be packed, the signed hash is read,
//     and nothing is verified; elements that are named in XML are not looked for.
//   - Of a PDF the structure is read, as far as it takes to find its pages and
//     signatures, but no signature is verified. Unknown members of an order are
//     ignored.
//   - Members have exactly the documented name: one in another case is unknown. JSON
//     must be UTF-8, and have no half of a surrogate pair.
//
// # Assumptions
//
// BankID's public pages leave these open, and the sandbox had to choose. Where a
// field of [Assumptions] is named, the choice is yours.
//
// Tokens:
//
//   - A token request without scope gets a token without scopes.
//   - The type of bearer tokens is spelled "bearer" (TokenType).
//   - An assertion of an unknown client gets the response of an unknown client with a
//     secret is: 401.
//   - The token endpoint answers a missing proof of a client that needs one with
//     invalid_request, as Keycloak does, and a bad proof with
//     invalid_dpop_proof, as BankID's B2B sample quotes it (BadProof); both are
//     400.
//   - The URL of a proof must have no query (IgnoreProofQuery) and no fragment,
//     as RFC 9449 asks of clients.
//   - The token endpoint demands no nonce, unless a fault does.
//   - A token is not refused for an iat in the future.
//   - The scope esign/qualified, which only one BankID page names, is unknown.
//
// SignDoc and timestamping:
//
//   - SignDoc v1 refuses a missing or bad token with 401 (SignDocForbids) and an
//     insufficient scope with 403, v0 all of them with 403, as the service it
//     stays compatible with; all without a body. (Documented: "401 or 403", body
//     optional.) That goes for conversion and its specs too, and the orders of
//     v0 and v1 are apart.
//   - SignDoc v0 is as the older service (documented): a new order is answered
//     with 201, its state is the orderState beside signId and orderName, and
//     orderName, addVisualSeals and a resultContent with padesSignedPdf or
//     padesAppendix are required. documentDisplayMode must be interior, window or
//     overlay. The hashes are base64, as there.
//   - SignDoc v0 refuses what it does not know in resultContent.
//   - SignDoc v1 requires the same but for resultContent, answers a new order
//     with 201 (CreatedOrder), has the members of v0 in a status (StateMember),
//     and in a result the document with both hashes, and with SignerInfo if
//     resultContent asks for it.
//   - A timestamp order is one of v1, but only its documents are required. What
//     is documented of it: its path, sign_id, the scope, 400, 403 and 404.
//   - What is wrong with an order is a JSON string (documented for both versions;
//     the older service had an object with "errors"). What is wrong with a PDF is
//     said per document, in the members of a conversion. A PDF that cannot be
//     read "is corrupt", in BankID's words; that it "is encrypted" or, for a
//     timestamp, "contains no signatures", are the sandbox's own.
//   - An order with extendToLTA needs the scope esign/qtsa too (ExtendWithoutScope).
//   - A SignerInfo is a member of the result, beside the documents, signed with ES256,
//     and valid for ten minutes. Its keys are other ones than those of access tokens.
//     Its sub is the same each time that a person signs. It has the national identity number if the token that created
//     the order had the scope esign/nnin.
//   - The body of v1 conversion is a list of {pdfSpec, description, pdf}, that of
//     v0 an object with this list as "documents", and both have the response of
//     the older service: "conversionResults", with status 400 if one document
//     could not be converted. /signdoc/convert is /signdoc/convert/pdf.
//     "pdfSpecs" is a list. (The specification of v1 describes a list and types
//     a string.) The reason why a PDF is corrupt is a warning.
//   - /v1/signdoc/jwks is the full path of "the /jwks endpoint", without a token.
//   - A timeoutSeconds of 0 is the default, 1800.
//   - An order that is not complete cannot be downloaded, also one that never
//     will be because it is REJECTED, FAILED or TIMED_OUT: 400
//     (UnfinishedOrder), with its state in the body. It stays.
//   - An order can be collected for two hours (OrderRetention), by the client that created it;
//     for another client it is 404 (SharedOrders).
//   - Status and download of a timestamp order are GET and DELETE as in SignDoc v1.
//   - /v1/timestamp/token takes POST, needs the scope esign/qtsa, and speaks the
//     Time-Stamp Protocol over HTTP (application/timestamp-query) or JSON, which
//     has the shape of signatures/timestamp of CSC API v2: {hash, hashAlgo,
//     nonce} is answered with {timestamp}, a token with its certificate. The
//     number in its error codes "SIG-TG###" is the HTTP status: 401 for a missing
//     or bad token, 403 for an insufficient scope. In the Time-Stamp Protocol a
//     query that cannot be granted is answered with 200 and a rejection.
//   - A body of another content type is 400, and one that is too large 413.
//   - SignDoc, timestamping and CSC refuse bound tokens, with either scheme.
//
// CSC:
//
//   - The token route takes the OIDC token as "Authorization: Bearer", answers a bad
//     one with 401 and invalid_client (BadExchange), and one without the scope with
//     400 and unauthorized_client. That token is all the client authentication it
//     asks for; client_id and client_secret are ignored.
//   - The certificate is made by credentials/list (documented). When it has expired,
//     signHash responds with certificate_expired (documented without a status) and 400.
//   - Codes live 60 s (CodeLifetime), service tokens 300 s
//     (ServiceTokenLifetime), and signature activation data 60 s (SADLifetime).
//     A code that comes with another redirect_uri or code_verifier, or from another
//     client, than it was issued for is lost. One that comes without code_verifier,
//     or with something that cannot be one, is invalid_request and stays good.
//   - The only scope of the authorize endpoint is esign/csc.
//   - An unknown client is unauthorized_client at the authorize endpoint: 400,
//     without redirect.
//   - Every redirect URI is registered for the client that is https, or http to
//     a loopback address, and has no fragment and no user.
//   - The order of service tokens is credentials/list, credentials/info,
//     credentials/authorize, signatures/signHash; only credentials/info may be
//     left out. A call that comes too early is invalid_request and uses up
//     nothing. One that comes too late is token_already_used, like a replay.
//   - A service token is used up at an endpoint even if the call is refused for
//     its content.
//   - Where BankID's OpenAPI document and its page of errors are silent, requests are
//     those of the CSC API v2.0.0.2. The authorization mode is "explicit" without
//     anything to enter. numSignatures is the number of hashes, and signHash signs
//     all authorized hashes, in any order, or none.
//   - Of the two codes for a parameter that is missing or malformed, invalid_request
//     and invalid_parameters, the sandbox has the former.
//   - A body of another content type than JSON is invalid_request, and one of
//     more than 64 KiB is document_too_large. No body at all is an empty object.
//
// Certificates:
//
//   - BankID's extensions in a person's certificate are of type UTF8String. With the
//     scope esign/nnin, in SignDoc when the order is created and in CSC when the code is
//     exchanged, there is 2.16.578.1.61.2.4 too: the national identity number.
//     (Documented: that the scope is needed, and the claim of that name, from the
//     certificate.)
//   - The certificates of seals and of time-stamping have the policy of qualified
//     certificates for seals with a key in a device (0.4.0.194112.1.3).
//   - All keys but that of the seal are on P-256, and the authorities sign with
//     ECDSA and SHA-256.
//
// B2B:
//
//   - Proofs have the same window as at Keycloak, and each jti is remembered as
//     long as its proof could be used. No nonce is demanded (B2BNonce).
//   - Refusals have status 401 with a DPoP challenge. A missing DPoP header
//     counts before a missing token; a proof by another key than the token is
//     bound to is invalid_dpop_proof; and the scope is looked at last.
//   - BankID has three codes for a member that fails validation, SIG_BB600 to
//     602, with the same words. Here it is "json_validation_error -- SIG_BB600",
//     and that also for a body that is not the JSON of the request, of another
//     content type, or larger than the sandbox reads (413). What cannot be signed,
//     such as a PDF that cannot be read, is "invalid_request -- SIG-BB607", and
//     CMS and OCSP responses that cannot be packed are SIG-BB608.
//   - XML must be well-formed, in UTF-8, UTF-16 or ISO 8859-1, have no DOCTYPE, and
//     declare its prefixes.
//   - A CMS to pack has one signer, and a signature with SHA256WithRSA (documented).
//   - In CSC there are 1 to 50 hashes. (Documented for the signer: 1 to 15 hashes
//     or documents, or from none for CMS alone; texts of 5,000,000 characters and
//     descriptions of 128 at most, empty only in sdos_from_hashes; SHA-256.)
//   - What is signed of BIDXML is its xml and then its xsl.
//   - The OCSP response is a BasicOCSPResponse (documented for CSC), and in
//     pades/cmses_from_hashes the OCSPResponse around it. sdo_from_cmses takes
//     both. Responses are valid for an hour.
//   - signAlgoParams may be left out with PSS, as BankID's sample does. If it is
//     given, it must name hashAlgorithmOID, twice, and a salt of that length.
//   - CSC refuses unknown and null members as the B2B signer does.
//
// # Limits
//
// All state is in memory, bounded, and lost at the end of the process: the
// documents of open orders up to 256 MiB, and the last 10,000 CSC codes and
// service tokens. What is oldest gives way, so that an evicted order is 404, an
// evicted code or service token is unknown, and an evicted code that starts with
// "sandbox-" could be used again. So could a proof or an assertion: the last
// 10,000 are remembered. The documents of one request are at most 64 MiB of
// JSON, an orderName and a redirectUrl 4 KiB, a B2B request 80 MiB, a DPoP proof 8 KiB; any other
// request is at most 64 KiB. There are at most 100 faults on requests at a time. The
// desk shows the last 50 requests and orders.
package sandbox
