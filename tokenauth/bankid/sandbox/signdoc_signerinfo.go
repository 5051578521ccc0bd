package sandbox

import (
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

// signerInfo returns a JWT about the person who signs everything. The number is
// nobody's: its month is above 80, as in Norway's synthetic test data.
func (s *Server) signerInfo(nnin bool) (string, error) {
	origin, err := url.Parse(s.origin)
	if err != nil {
		return "", err
	}
	now := s.clock.now()
	info := signerInfo{
		Claims: jwt.Claims{
			Issuer:    origin.Hostname(), // without scheme, as BankID has it
			Subject:   "UN:NO-SANDBOX-1",
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			Expiry:    jwt.NewNumericDate(now.Add(signerInfoLifetime)),
		},
		Name: "SANDBOX Test Person", GivenName: "SANDBOX Test", FamilyName: "Person", Birthdate: "1970-01-01",
		Quality: "QES", CertIssuer: s.ca.cert.Subject.String(), Country: "NO", Scheme: "BANKID", PID: "UN:NO-SANDBOX-PID-1",
	}
	if nnin {
		info.NNIN = "01817010055"
	}
	return jwt.Signed(s.tokens.keys.active()).Claims(info).Serialize()
}
