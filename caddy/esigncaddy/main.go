// Command esigncaddy is Caddy with the BankID eSign gateway built in.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// Plug in Caddy's standard modules and the gateway's.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/esigngateway/caddy-bankid-esign/caddy"
)

func main() {
	caddycmd.Main()
}
