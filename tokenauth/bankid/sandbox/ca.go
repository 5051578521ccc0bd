package sandbox

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pki"
)

// Where the certificates and revocation lists of the authorities are, and the OCSP
// responder. The URLs are in the certificates.
const (
	rootPath         = controlPath + "root.cer"
	rootCRLPath      = controlPath + "root.crl"
	authorityPath    = controlPath + "ca1a.cer"
	authorityCRLPath = controlPath + "ca1a.crl"
	ocspPath         = controlPath + "ocsp"
)

// A certAuthority issues the certificates of one sandbox. It is thrown away with it, so
// that nobody comes to trust it by mistake. As at BankID, an authority below the root
// issues them.
type certAuthority struct {
	root *pki.Authority
	*pki.Authority
	clock *clock
}

// newCertAuthority makes the authorities of a sandbox at an origin.
func newCertAuthority(origin string, clock *clock) (*certAuthority, error) {
	root, err := pki.NewRoot(sandboxName("SANDBOX BankID Root CA, not to be trusted"), pki.Places{
		Certificate: origin + rootPath, CRL: origin + rootCRLPath,
	}, clock.now)
	if err != nil {
		return nil, err
	}
	authority, err := root.NewSubordinate(sandboxName("SANDBOX BankID CA 1a"), pki.Places{
		Certificate: origin + authorityPath, CRL: origin + authorityCRLPath, OCSP: origin + ocspPath,
	})
	return &certAuthority{root: root, Authority: authority, clock: clock}, err
}

// chain returns the certificates from one that the authority has issued to the root.
func (ca *certAuthority) chain(certificate *x509.Certificate) []*x509.Certificate {
	return append([]*x509.Certificate{certificate}, ca.Chain()...)
}

// revocation returns what shows that a certificate of the authority is good now, and so
// are those above it: an OCSPResponse about it, and the revocation lists of the authority
// and of the root, all in DER. A document with these can be validated later.
func (ca *certAuthority) revocation(certificate *x509.Certificate) (ocsp []byte, crls [][]byte, err error) {
	if ocsp, err = ca.OCSP(certificate); err != nil {
		return nil, nil, err
	}
	for _, authority := range []*pki.Authority{ca.Authority, ca.root} {
		crl, err := authority.CRL()
		if err != nil {
			return nil, nil, err
		}
		crls = append(crls, crl)
	}
	return ocsp, crls, nil
}

// sandboxName is the distinguished name of the organisation that the sandbox plays.
func sandboxName(common string) pkix.Name {
	return pkix.Name{Country: []string{"NO"}, Organization: []string{"SANDBOX, for tests only"}, CommonName: common}
}

// caCertificate serves the root's certificate, in PEM, to a client that verifies what the
// sandbox issues. BankID has no such endpoint.
func (s *Server) caCertificate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: s.ca.root.Certificate.Raw})
}

// certificate serves an authority's certificate, in DER (RFC 5280, section 4.2.2.1).
func (s *Server) certificate(of *pki.Authority) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-cert")
		_, _ = w.Write(of.Certificate.Raw)
	}
}

// revocationList serves an authority's revocation list, in DER (RFC 5280, section
// 4.2.1.13).
func (s *Server) revocationList(of *pki.Authority) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		crl, err := of.CRL()
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(crl)
	}
}
