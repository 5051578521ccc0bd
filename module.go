// Package esign is a gateway to the eSign APIs of BankID Norway: a Caddy
// module that discovers BankID OIDC, obtains client-credentials tokens, and
// puts on every call exactly the authorization which that call needs.
//
// Importing it plugs the modules into Caddy; that is all xcaddy has to do:
//
//	xcaddy build --with github.com/esigngateway/caddy-bankid-esign
//
// The OAuth 2.0 client lives in package tokenauth, which knows no Caddy; the
// facts about BankID in tokenauth/bankid; the Caddy modules in package caddy.
package esign

import (
	// Registers the Caddy modules.
	_ "github.com/esigngateway/caddy-bankid-esign/caddy"
)
