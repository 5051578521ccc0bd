package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"time"
)

// credentialID names the only credential: everyone who signs is the same
// person.
const credentialID = "sandbox-credential" //nolint:gosec // a name, no secret

// curveP256 is the OID of the credential's curve (RFC 5480, section 2.1.1.1).
const curveP256 = "1.2.840.10045.3.1.7"

// A credential is a key that signs, with its certificate.
type credential struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // that of the key first, that of the authority last
}

// newCredential makes a credential that ca certifies.
func newCredential(ca *certAuthority) (*credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the credential: %w", err)
	}
	certificate, err := ca.issue(&x509.Certificate{
		Subject:  sandboxName("SANDBOX Test Person"),
		KeyUsage: x509.KeyUsageContentCommitment,
	}, key.Public())
	if err != nil {
		return nil, err
	}
	return &credential{key: key, chain: []*x509.Certificate{certificate, ca.cert}}, nil
}

// sign signs hashes with ECDSA. The signatures are DER, as X9.62 and RFC 5480
// have them.
func (c *credential) sign(hashes [][]byte) ([][]byte, error) {
	signatures := make([][]byte, len(hashes))
	for i, hash := range hashes {
		signature, err := ecdsa.SignASN1(rand.Reader, c.key, hash)
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		signatures[i] = signature
	}
	return signatures, nil
}

// A credentialQuery says what to tell of a credential (CSC API v2, sections
// 11.4 and 11.5). That authInfo was asked for changes nothing: nobody has to
// enter anything.
type credentialQuery struct {
	Certificates string `json:"certificates"` // none, single (the default) or chain
	CertInfo     bool   `json:"certInfo"`
	AuthInfo     bool   `json:"authInfo"`
}

// A credentialInfo describes a credential (CSC API v2, section 11.5).
type credentialInfo struct {
	CredentialID string          `json:"credentialID,omitempty"` // in a list only
	Description  string          `json:"description"`
	Key          keyInfo         `json:"key"`
	Cert         certificateInfo `json:"cert"`
	Auth         authInfo        `json:"auth"`
	SCAL         string          `json:"SCAL"` // 2: a SAD is bound to hashes
	Multisign    int             `json:"multisign"`
	Lang         string          `json:"lang"`
}

type keyInfo struct {
	Status string   `json:"status"`
	Algo   []string `json:"algo"`
	Len    int      `json:"len"`
	Curve  string   `json:"curve"`
}

type certificateInfo struct {
	Status       string   `json:"status"`
	Certificates [][]byte `json:"certificates,omitempty"` // DER
	IssuerDN     string   `json:"issuerDN,omitempty"`
	SerialNumber string   `json:"serialNumber,omitempty"`
	SubjectDN    string   `json:"subjectDN,omitempty"`
	ValidFrom    string   `json:"validFrom,omitempty"`
	ValidTo      string   `json:"validTo,omitempty"`
}

type authInfo struct {
	Mode    string   `json:"mode"`
	Objects []string `json:"objects"` // always empty: the person has already consented
}

// info describes the credential.
func (c *credential) info(query credentialQuery) (credentialInfo, *cscError) {
	cert := certificateInfo{Status: "valid"}
	leaf := c.chain[0]
	switch query.Certificates {
	case "none":
	case "", "single":
		cert.Certificates = [][]byte{leaf.Raw}
	case "chain":
		for _, certificate := range c.chain {
			cert.Certificates = append(cert.Certificates, certificate.Raw)
		}
	default:
		return credentialInfo{}, invalidCSC("Invalid parameter certificates")
	}
	if query.CertInfo {
		const generalizedTime = "20060102150405Z"
		cert.IssuerDN = leaf.Issuer.String()
		cert.SerialNumber = fmt.Sprintf("%X", leaf.SerialNumber.Bytes())
		cert.SubjectDN = leaf.Subject.String()
		cert.ValidFrom = leaf.NotBefore.In(time.UTC).Format(generalizedTime)
		cert.ValidTo = leaf.NotAfter.In(time.UTC).Format(generalizedTime)
	}
	return credentialInfo{
		Description: "SANDBOX: a credential for tests; its signatures prove nothing",
		Key: keyInfo{
			Status: "enabled",
			Algo:   []string{ecdsaWithSHA256, ecdsaWithSHA384, ecdsaWithSHA512},
			Len:    c.key.Params().BitSize,
			Curve:  curveP256,
		},
		Cert:      cert,
		Auth:      authInfo{Mode: "explicit", Objects: []string{}},
		SCAL:      "2",
		Multisign: maxHashes,
		Lang:      "en",
	}, nil
}
