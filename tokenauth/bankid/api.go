package bankid

import (
	"slices"
	"strings"
)

// An API is the name of an eSign API, as in a configuration.
type API string

// The eSign APIs.
const (
	CSC       API = "csc"       // Cloud Signature Consortium v2: a person signs hashes
	SignDoc   API = "signdoc"   // a person reads and signs documents ("WYSIWYS")
	Timestamp API = "timestamp" // qualified timestamps and long-term validation
	B2B       API = "b2b"       // an organisation seals documents
)

// APIs lists all eSign APIs.
func APIs() []API { return []API{CSC, SignDoc, Timestamp, B2B} }

// APIByName returns the API with the given name. It reports false if there is none.
func APIByName(name string) (API, bool) {
	api := API(name)
	return api, slices.Contains(APIs(), api)
}

// Scopes of BankID OIDC for eSign, as listed at
// https://developer.bankid.no/bankid-esign-provider/getting-started. esign/b2b is from the
// B2B pages of the same site.
const (
	ScopeESign     = "esign"
	ScopeReadWrite = "signdoc/read_write"
	ScopeCSC       = "esign/csc"
	ScopeQTSA      = "esign/qtsa"
	ScopeNNIN      = "esign/nnin"
	ScopeB2B       = "esign/b2b"
)

// Scopes returns the scopes of a token for api: the API's own scope and the extra scopes,
// sorted and without duplicates, so that equal sets of scopes are equal lists. If extra has
// ScopeReadWrite, that replaces ScopeESign: both give the same access, and a client of the
// older SignDoc may have only ScopeReadWrite.
func Scopes(api API, extra []string) []string {
	own := map[API]string{CSC: ScopeCSC, SignDoc: ScopeESign, Timestamp: ScopeQTSA, B2B: ScopeB2B}[api]
	scopes := slices.Clone(extra)
	if own != ScopeESign || !slices.Contains(extra, ScopeReadWrite) {
		scopes = append(scopes, own)
	}
	slices.SortFunc(scopes, strings.Compare)
	return slices.Compact(scopes)
}
