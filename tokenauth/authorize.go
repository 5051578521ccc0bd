package tokenauth

import (
	"net/http"
	"net/url"
	"strings"
)

// Authorize puts token on req: as a bearer token (RFC 6750 section 2.1), or with a proof
// (RFC 9449 section 7.1). The proof is for the method and URL of req, and has nonce, or
// else the last nonce that KeepNonce kept for the server. Authorize returns the proof,
// which is empty for a bearer token. token must be of this Source. Authorize changes the
// header of req, so no other goroutine may use that. The error is an *Error; or that of the
// context of req, if that ends while a key signs that is not in memory.
func (s *Source) Authorize(req *http.Request, token *Token, nonce string) (proof Secret, err error) {
	req.Header["Authorization"] = []string{token.Authorization()}
	if token.prover == nil {
		return proof, nil
	}
	if nonce == "" {
		nonce = s.nonces.get(req.URL)
	}
	text, err := token.prover.proof(req.Context(), req.Method, req.URL, nonce, token, s.config.Provider.now())
	if err != nil {
		if ended := req.Context().Err(); ended != nil {
			return proof, ended
		}
		return proof, &Error{Op: "making a DPoP proof", Cause: CauseConfiguration, Err: err}
	}
	req.Header["Dpop"] = []string{text}
	return NewSecret(text), nil
}

// KeepNonce keeps the nonce that the server of u gave for the next proof. It does nothing
// if nonce is empty.
func (s *Source) KeepNonce(u *url.URL, nonce string) { s.nonces.keep(u, nonce) }

// NextNonce returns the nonce that a response gives for the next proof (RFC 9449 section
// 8.2), or "" if there is none or it is not valid.
func NextNonce(header http.Header) string {
	nonce := header.Get("DPoP-Nonce")
	if len(nonce) > 1024 || strings.ContainsFunc(nonce, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return nonce
}

// WantsNonce reports whether the server wants a retry with the nonce in res in the proof
// (RFC 9449 section 9). After the call, the body of res can be read as before.
func WantsNonce(res *http.Response) bool {
	return res.StatusCode == http.StatusUnauthorized && NextNonce(res.Header) != "" &&
		(challengeCode(res) == "use_dpop_nonce" || ErrorCode(res) == "use_dpop_nonce")
}
