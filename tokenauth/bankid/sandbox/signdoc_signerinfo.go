package sandbox

import (
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// signerInfoLifetime is how long a SignerInfo is valid. BankID names no time.
const signerInfoLifetime = 10 * time.Minute

// A signerInfo tells who has signed; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/jwks-api.
type signerInfo struct {
	jwt.Claims

	Name       string `json:"name"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Birthdate  string `json:"birthdate"`
	Quality    string `json:"signature_quality"`
	CertIssuer string `json:"cert_issuer"`
	Country    string `json:"2.16.578.1.61.2.1"`
	Scheme     string `json:"2.16.578.1.61.2.2"`
	PID        string `json:"2.16.578.1.61.2.3"`
	NNIN       string `json:"2.16.578.1.61.2.4,omitempty"`
}

// signerInfo returns a JWT about who signed an order.
func (s *Server) signerInfo(o *order) (string, error) {
	origin, err := url.Parse(s.origin)
	if err != nil {
		return "", err
	}
	now := s.clock.now()
	info := signerInfo{
		Claims: jwt.Claims{
			Issuer:    origin.Hostname(), // without scheme, as BankID has it
			Subject:   o.signer.serialNumber(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			Expiry:    jwt.NewNumericDate(now.Add(signerInfoLifetime)),
		},
		Name: o.signer.Name(), GivenName: o.signer.GivenName, FamilyName: o.signer.Surname, Birthdate: o.signer.BirthDate,
		Quality: "QES", CertIssuer: s.ca.Certificate.Subject.String(), Country: eidCountry, Scheme: eidScheme, PID: o.signer.pid(),
	}
	if o.nnin {
		info.NNIN = o.signer.NationalID
	}
	return jwt.Signed(s.signerInfoKeys.active()).Claims(info).Serialize()
}

// signerInfoJWKS serves the keys of SignerInfo. They are not those of access tokens,
// since BankID has a service of its own for each.
func (s *Server) signerInfoJWKS(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "max-age=3600")
	respondJSON(w, http.StatusOK, s.signerInfoKeys.public())
}
