// Package pades signs PDF files as PAdES has it (ETSI EN 319 142-1), at the baseline
// levels B, T, LT and LTA, and brings signed files to LTA.
//
// It writes incremental updates only, so that every byte of a file and every signature
// in it stay as they are.
package pades

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/cms"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// A Level is a baseline level: what a signature has with it.
type Level int

// The levels. Each has what those before it have.
const (
	B   Level = iota // a signature
	T                // a time-stamp
	LT               // the certificates, and responses or lists that tell they were not revoked
	LTA              // a time-stamp of all that
)

// ErrNoChanges means that an earlier signature allows no other, since it certifies the file
// or locks its form (ISO 32000-1, sections 12.8.2.2 and 12.8.2.4).
var ErrNoChanges = errors.New("the file is certified or locked, and allows no new signature")

type (
	// Timestamp returns a time-stamp token (RFC 3161) for a SHA-256 digest.
	Timestamp func(ctx context.Context, digest []byte) (token []byte, err error)

	// Revocation returns what tells that certificates were not revoked. It leaves out
	// certificates that it does not know.
	Revocation func(ctx context.Context, certificates []*x509.Certificate) (Evidence, error)

	// Evidence is what a validator needs in later years.
	Evidence struct {
		Certificates []*x509.Certificate // of issuers and responders
		OCSPs        [][]byte            // OCSPResponses (RFC 6960) in DER
		CRLs         [][]byte            // CertificateLists (RFC 5280) in DER
	}
)

// A Signer signs files.
type Signer struct {
	// Key is an ECDSA or RSA key.
	Key crypto.Signer

	// Certificates are that of Key, and then those of its issuers. The last one need not
	// be of a root.
	Certificates []*x509.Certificate

	// Level is B if it is not set.
	Level Level

	// Timestamp is needed for level T and above.
	Timestamp Timestamp

	// Revocation is needed for level LT and above.
	Revocation Revocation
}

// Details say more about a signature. All of it is optional but the time.
type Details struct {
	Time                                time.Time
	Name, Reason, Location, ContactInfo string

	// Seal shows the signature on the first page of the file.
	Seal *Seal
}

// Sign returns the file with a signature, of which the file is the beginning. It returns
// an error if the file is broken or encrypted, and [ErrNoChanges].
func (s *Signer) Sign(ctx context.Context, file []byte, details Details) ([]byte, error) {
	room := contentsRoom
	if s.Level >= T {
		room += contentsRoom
	}
	for _, c := range s.Certificates {
		room += len(c.Raw)
	}
	g := newGrowing(file)
	err := place{
		contents: room,
		dict:     details.dict(),
		seal:     details.Seal,
		changes:  true,
		fill: func(digest []byte) ([]byte, error) {
			signer := cms.Signer{Certificate: s.Certificates[0], Key: s.Key, Include: s.Certificates}
			if s.Level >= T {
				signer.Timestamp = func(signature []byte) ([]byte, error) { return s.Timestamp.of(ctx, signature) }
			}
			return signer.Detached(digest)
		},
	}.in(g)
	extend := Extender{Timestamp: s.Timestamp, Revocation: s.Revocation}
	if err == nil && s.Level >= LT {
		err = extend.addEvidence(ctx, g)
	}
	if err == nil && s.Level >= LTA {
		err = extend.addTimestamp(ctx, g)
	}
	if err != nil {
		return nil, err
	}
	return g.data, nil
}

// Check returns the error that [Signer.Sign] would return because of the file.
func Check(file []byte) error { return check(file, true) }

// CheckExtend returns the error that [Extender.Extend] would return because of a signed
// file. Time-stamps are allowed where signatures are not.
func CheckExtend(file []byte) error { return check(file, false) }

func check(file []byte, changes bool) error {
	document, update, err := update(newGrowing(file))
	if err != nil {
		return err
	}
	f := form{document: document, update: update}
	return f.addField(pdf.Ref{}, &Seal{}, changes)
}

func (d Details) dict() pdf.Dict {
	dict := pdf.Dict{
		"Type":      pdf.Name("Sig"),
		"Filter":    pdf.Name("Adobe.PPKLite"),
		"SubFilter": pdf.Name("ETSI.CAdES.detached"),
		"M":         pdf.String(d.Time.UTC().Format("D:20060102150405Z")),
	}
	for name, text := range map[pdf.Name]string{"Name": d.Name, "Reason": d.Reason, "Location": d.Location, "ContactInfo": d.ContactInfo} {
		if text != "" {
			dict[name] = pdf.Text(text)
		}
	}
	return dict
}

// An Extender brings signed files to level LTA.
type Extender struct {
	Timestamp  Timestamp
	Revocation Revocation
}

// Extend returns a signed file at level LTA, of which the file is the beginning. It adds
// a time-stamp if a signature has none, then what is known of all certificates, and a
// time-stamp of all that. Of a signature that cannot be read, nothing is known. It returns
// an error if the file is broken, encrypted or not signed.
func (e Extender) Extend(ctx context.Context, file []byte) ([]byte, error) {
	g := newGrowing(file)
	stamped, err := isTimestamped(file)
	if err == nil && !stamped {
		err = e.addTimestamp(ctx, g)
	}
	if err == nil {
		err = e.addEvidence(ctx, g)
	}
	if err == nil {
		err = e.addTimestamp(ctx, g)
	}
	if err != nil {
		return nil, err
	}
	return g.data, nil
}

// isTimestamped reports whether each signature of a file has a time-stamp: its own, or one
// of the document after it.
func isTimestamped(file []byte) (bool, error) {
	document, err := pdf.Open(file)
	if err != nil {
		return false, err
	}
	if document.Encrypted() {
		return false, errors.New("the file is encrypted")
	}
	signatures, err := document.Signatures()
	if err == nil && len(signatures) == 0 {
		err = errors.New("the file is not signed")
	}
	if err != nil {
		return false, err
	}
	covered := 0 // by the last time-stamp of the document
	for _, s := range signatures {
		if s.Timestamp {
			covered = max(covered, s.End())
		}
	}
	for _, s := range signatures {
		contents, err := cms.Read(s.Contents)
		if own := err == nil && contents.Timestamped; !s.Timestamp && !own && s.End() >= covered {
			return false, nil
		}
	}
	return true, nil
}
