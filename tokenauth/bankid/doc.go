// Package bankid holds the facts about BankID eSign that the gateway is built
// on: its environments, its scopes, and the table of its API calls.
//
// Each fact has its source beside it. If BankID's public pages leave a fact open, the
// comment says "inferred" or "unknown". Nothing here was tried against the live service.
package bankid
