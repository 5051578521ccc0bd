package sandbox

import (
	"context"
	"crypto/x509"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
)

// sign returns the documents of an order with the signature of its signer, who gets a
// certificate for that. They are at level B of PAdES, or at LTA if the order asks for it.
func (s *Server) sign(ctx context.Context, o *order) ([]pdfFile, error) {
	credential, err := s.ca.newCredential(o.signer, o.nnin)
	if err != nil {
		return nil, err
	}
	signer := pades.Signer{
		Key: credential.key, Certificates: belowRoot(credential.chain),
		Timestamp: s.tsa.stampDigest, Revocation: s.ca.evidence,
	}
	if o.extendToLTA {
		signer.Level = pades.LTA
	}
	now := s.clock.now()
	details := pades.Details{Time: now, Name: o.signer.Name()}
	if o.seals {
		details.Seal = &pades.Seal{Lines: []string{
			"SANDBOX: signed, but not with BankID", o.signer.Name(), now.UTC().Format("2006-01-02 15:04:05 UTC"),
		}}
	}
	return o.finish(func(file pdfFile) ([]byte, error) { return signer.Sign(ctx, file, details) })
}

// extend returns the documents of an order at level LTA of PAdES.
func (s *Server) extend(ctx context.Context, o *order) ([]pdfFile, error) {
	extender := pades.Extender{Timestamp: s.tsa.stampDigest, Revocation: s.ca.evidence}
	return o.finish(func(file pdfFile) ([]byte, error) { return extender.Extend(ctx, file) })
}

// finish returns what becomes of each document.
func (o *order) finish(become func(pdfFile) ([]byte, error)) ([]pdfFile, error) {
	finished := make([]pdfFile, len(o.documents))
	for i, d := range o.documents {
		var err error
		if finished[i], err = become(d.PDF); err != nil {
			return nil, err
		}
	}
	return finished, nil
}

// evidence is what a document at level LT has about certificates. It says nothing of
// those that the authority has not issued.
func (ca *certAuthority) evidence(_ context.Context, certificates []*x509.Certificate) (pades.Evidence, error) {
	evidence := pades.Evidence{Certificates: ca.Chain()}
	for _, c := range certificates {
		if c.IsCA || c.CheckSignatureFrom(ca.Certificate) != nil {
			continue
		}
		ocsp, crls, err := ca.revocation(c)
		if err != nil {
			return pades.Evidence{}, err
		}
		evidence.OCSPs = append(evidence.OCSPs, ocsp)
		evidence.CRLs = crls // the same for each
	}
	return evidence, nil
}

// stampDigest returns a time-stamp token for a SHA-256 digest.
func (t *timestampAuthority) stampDigest(_ context.Context, digest []byte) ([]byte, error) {
	return t.token(digest)
}
