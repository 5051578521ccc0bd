package bankid

import (
	"slices"
	"strings"
)

// An API is one of the eSign APIs, by the name a configuration gives it.
type API string

// The eSign APIs.
const (
	CSC       API = "csc"       // Cloud Signature Consortium v2: a person signs hashes
	SignDoc   API = "signdoc"   // a person reads and signs documents ("WYSIWYS")
	Timestamp API = "timestamp" // qualified timestamps and long-term validation
	B2B       API = "b2b"       // the organisation seals
)

// APIs lists all eSign APIs.
func APIs() []API { return []API{CSC, SignDoc, Timestamp, B2B} }

// APIByName finds an API by its name.
func APIByName(name string) (API, bool) {
	api := API(name)
	return api, slices.Contains(APIs(), api)
}

// Scopes of BankID OIDC that concern eSign, as listed at
// https://developer.bankid.no/bankid-esign-provider/getting-started; esign/b2b
// is from the B2B pages beside it.
const (
	ScopeESign     = "esign"
	ScopeReadWrite = "signdoc/read_write"
	ScopeCSC       = "esign/csc"
	ScopeQTSA      = "esign/qtsa"
	ScopeNNIN      = "esign/nnin"
	ScopeB2B       = "esign/b2b"
)

// Scopes returns the scopes of a token for api: the API's own and the extra
// ones, sorted and without repetition, so that equal requests look equal.
// ScopeReadWrite among the extra ones replaces ScopeESign: both give the same
// access, and a client of the older SignDoc may have been granted only it.
func Scopes(api API, extra []string) []string {
	own := map[API]string{CSC: ScopeCSC, SignDoc: ScopeESign, Timestamp: ScopeQTSA, B2B: ScopeB2B}[api]
	scopes := slices.Clone(extra)
	if own != ScopeESign || !slices.Contains(extra, ScopeReadWrite) {
		scopes = append(scopes, own)
	}
	slices.SortFunc(scopes, strings.Compare)
	return slices.Compact(scopes)
}
