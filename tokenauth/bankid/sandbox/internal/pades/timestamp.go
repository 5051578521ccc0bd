package pades

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// of returns a token for the SHA-256 digest of data.
func (t Timestamp) of(ctx context.Context, data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	return t.token(ctx, digest[:])
}

func (t Timestamp) token(ctx context.Context, digest []byte) ([]byte, error) {
	token, err := t(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("the time-stamp: %w", err)
	}
	return token, nil
}

// addTimestamp adds a document time-stamp (ISO 32000-2, section 12.8.5).
func (e Extender) addTimestamp(ctx context.Context, g *growing) error {
	return place{
		contents: 2 * contentsRoom,
		dict: pdf.Dict{
			"Type":      pdf.Name("DocTimeStamp"),
			"Filter":    pdf.Name("Adobe.PPKLite"),
			"SubFilter": pdf.Name("ETSI.RFC3161"),
		},
		fill: func(digest []byte) ([]byte, error) { return e.Timestamp.token(ctx, digest) },
	}.in(g)
}
