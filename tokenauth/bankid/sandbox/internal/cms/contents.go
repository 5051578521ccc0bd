package cms

import (
	"crypto/x509"
	"encoding/asn1"
)

// Contents are what a signature has with it.
type Contents struct {
	// Certificates are those of the signature and of the time-stamps in it.
	Certificates []*x509.Certificate

	// Timestamped says that there is a time-stamp of each signer's signature.
	Timestamped bool
}

// Read returns the contents of a signature, which is BER, without verifying it. Bytes
// after it are ignored, such as those that fill the place of a signature in a PDF.
// Certificates that cannot be parsed are left out.
func Read(cms []byte) (Contents, error) { return read(cms, true) }

func read(cms []byte, withTimestamps bool) (Contents, error) {
	signed, _, err := parse(cms)
	if err != nil {
		return Contents{}, err
	}
	c := Contents{Timestamped: len(signed.Signers) > 0}
	for rest := signed.Certificates.Bytes; len(rest) > 0; {
		var raw asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &raw); err != nil {
			return Contents{}, errNotCMS
		}
		if certificate, err := x509.ParseCertificate(raw.FullBytes); err == nil {
			c.Certificates = append(c.Certificates, certificate)
		}
	}
	if !withTimestamps {
		return c, nil
	}
	for _, signer := range signed.Signers {
		tokens, err := signer.timestamps()
		if err != nil {
			return Contents{}, err
		}
		c.Timestamped = c.Timestamped && len(tokens) > 0
		for _, token := range tokens {
			of, err := read(token, false)
			if err != nil {
				return Contents{}, err
			}
			c.Certificates = append(c.Certificates, of.Certificates...)
		}
	}
	return c, nil
}

// timestamps are the time-stamp tokens of a signature.
func (s signerInfo) timestamps() ([][]byte, error) {
	var tokens [][]byte
	for rest := s.UnsignedAttributes.Bytes; len(rest) > 0; {
		var a attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return nil, errNotCMS
		}
		if a.Type.Equal(oidTimestampToken()) {
			for _, value := range a.Values {
				tokens = append(tokens, value.FullBytes)
			}
		}
	}
	return tokens, nil
}
