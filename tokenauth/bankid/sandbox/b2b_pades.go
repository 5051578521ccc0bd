package sandbox

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
)

// pades seals a PDF. It does so with SHA-256 and padding v1.5, whatever the request says.
func (s *sealer) pades(server *Server, request padesRequest) (any, error) {
	file, err := base64.StdEncoding.DecodeString(request.PDF)
	if err != nil {
		return nil, err
	}
	response, err := s.basicResponse()
	if err != nil {
		return nil, err
	}
	signer := pades.Signer{
		Key: s.key, Certificates: belowRoot(s.chain), Level: request.level(),
		Timestamp: server.tsa.stampDigest, Revocation: s.ca.evidence,
	}
	now := s.ca.clock.now()
	sealed, err := signer.Sign(context.Background(), file, pades.Details{ // all is in memory
		Time: now, Name: request.SignerName, Reason: request.Reason, Location: request.Location, ContactInfo: request.ContactInfo,
	})
	if err != nil {
		return nil, err
	}
	// BankID validates what it has sealed. The sandbox does not.
	return map[string]any{"padesB64": sealed, "ocspB64": response, "adesVSummaries": []adesSummary{{
		Level: "PAdES-BASELINE-" + request.PAdESType, Indication: "INDETERMINATE", Sub: "SANDBOX",
		Time: now.UTC().Format(time.RFC3339), Signer: s.chain[0].Subject.CommonName,
	}}}, nil
}

// level is that of padesType, which was checked.
func (p padesRequest) level() pades.Level {
	if p.PAdESType == "LT" {
		return pades.LT
	}
	return pades.B
}
