package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/cms"
)

// credentialID names the only credential of the person who signs.
const credentialID = "sandbox-credential" //nolint:gosec // a name, no secret

// ecPublicKey is the OID of the credential's type of key (RFC 5480, section 2.1.1).
// BankID's document has it as key.algo, where CSC API v2 has signature algorithms.
const ecPublicKey = "1.2.840.10045.2.1"

// curveP256 is the OID of the credential's curve (RFC 5480, section 2.1.1.1).
const curveP256 = "1.2.840.10045.3.1.7"

// A credential is a key of a person, with a certificate that was made for one signature.
type credential struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // that of the key first, that of the root last
}

// newCredential makes a key for a person, and certifies it. With nnin, the certificate
// has the national identity number.
func (ca *certAuthority) newCredential(p Person, nnin bool) (*credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the credential: %w", err)
	}
	certificate, err := ca.issuePerson(p, nnin, key.Public())
	if err != nil {
		return nil, err
	}
	return &credential{key: key, chain: ca.chain(certificate)}, nil
}

// cms signs what has the given SHA-256 hash. The signature is detached, and has the
// certificates below the root.
func (c *credential) cms(hash []byte) ([]byte, error) {
	return cms.Signer{Certificate: c.chain[0], Key: c.key, Include: belowRoot(c.chain)}.Detached(hash)
}

// expired reports whether the certificate is not valid any more.
func (c *credential) expired(now time.Time) bool { return now.After(c.chain[0].NotAfter) }

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
// 11.4 and 11.5). AuthInfo changes nothing: the mode of authorization is told in any case,
// and there is nothing to enter. Lang and ClientData have no effect.
type credentialQuery struct {
	Certificates string `json:"certificates"` // none, single (the default) or chain
	CertInfo     bool   `json:"certInfo"`
	AuthInfo     bool   `json:"authInfo"`
	Lang         string `json:"lang"`
	ClientData   string `json:"clientData"`
}

// A credentialInfo describes a credential (CSC API v2, section 11.5).
type credentialInfo struct {
	CredentialID string          `json:"credentialID,omitempty"` // in a list only
	Key          keyInfo         `json:"key"`
	Cert         certificateInfo `json:"cert"`
	Auth         authInfo        `json:"auth"`
	SCAL         string          `json:"SCAL"` // 2: a SAD is bound to hashes
	Multisign    int             `json:"multisign"`
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
func (c *credential) info(query credentialQuery) credentialInfo {
	return credentialInfo{
		Key: keyInfo{
			Status: "enabled",
			Algo:   []string{ecPublicKey},
			Len:    c.key.Params().BitSize,
			Curve:  curveP256,
		},
		Cert:      newCertificateInfo(c.chain, query.Certificates, query.CertInfo),
		Auth:      authInfo{Mode: "explicit", Objects: []string{}},
		SCAL:      "2",
		Multisign: maxHashes,
	}
}

// newCertificateInfo describes the first certificate of a chain, as far as it
// was asked for.
func newCertificateInfo(chain []*x509.Certificate, certificates string, certInfo bool) certificateInfo {
	info := certificateInfo{Status: "valid"}
	switch certificates {
	case "", "single":
		chain = chain[:1]
		fallthrough
	case "chain":
		for _, certificate := range chain {
			info.Certificates = append(info.Certificates, certificate.Raw)
		}
	}
	if certInfo {
		leaf := chain[0]
		info.IssuerDN = distinguishedName(leaf.RawIssuer)
		info.SerialNumber = fmt.Sprintf("%X", leaf.SerialNumber.Bytes())
		info.SubjectDN = distinguishedName(leaf.RawSubject)
		info.ValidFrom = generalizedTime(leaf.NotBefore)
		info.ValidTo = generalizedTime(leaf.NotAfter)
	}
	return info
}

// distinguishedName is the text of a DER-encoded name, RFC 4514. pkix.Name.String has an
// order of its own, other than the name's.
func distinguishedName(der []byte) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &name); err != nil {
		return "" // not of a parsed certificate
	}
	return name.String()
}

// certificatesFault tells what is wrong with what a request says of the
// certificates that it wants.
func certificatesFault(value string) string {
	if !slices.Contains([]string{"", "none", "single", "chain"}, value) {
		return "certificates is not one of none, single and chain"
	}
	return ""
}

// generalizedTime is how CSC writes a time.
func generalizedTime(t time.Time) string { return t.UTC().Format("20060102150405Z") }
