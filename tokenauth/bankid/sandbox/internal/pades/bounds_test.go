package pades_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
)

// Without a bound, each of these would take ages.
func TestHostileFiles(t *testing.T) {
	a := newAuthority(t)
	pages := "2 0 obj<</Type/Pages/Kids[3 0 R]>>endobj\n3 0 obj<</Type/Page>>endobj\n"
	large := strings.Repeat("30", 1<<20)
	for name, file := range map[string]string{
		"one element many times": "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/DSS 4 0 R>>endobj\n" + pages +
			"4 0 obj<</Certs[" + strings.Repeat("5 0 R ", 200_000) + "]>>endobj\n" +
			fmt.Sprintf("5 0 obj<</Length %d>>stream\n%s\nendstream endobj\n", len(large), large),
		"one signature many times": "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields 4 0 R>>>>endobj\n" + pages +
			"4 0 obj[" + strings.Repeat("<</FT/Sig/V 5 0 R>>", 100_000) + "]endobj\n" +
			"5 0 obj<</ByteRange[0 1]/Contents<" + large + ">>>endobj\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, _ = a.at(pades.LTA).Sign(t.Context(), fixed([]byte(file)), details())
			_, _ = a.extender().Extend(t.Context(), fixed([]byte(file)))
		})
	}
}
