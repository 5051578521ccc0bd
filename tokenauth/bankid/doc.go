// Package bankid holds the facts about BankID eSign that the gateway is built
// on: its environments, its scopes, and the table of its API calls.
//
// Sources are given beside each fact. Where BankID's public pages leave
// something open, the row says "inferred" or "unknown"; nothing here was tried
// against the live service.
package bankid
