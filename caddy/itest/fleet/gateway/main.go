// Command gateway is Caddy with the gateway and with the storages of the fleet's tests.
package main

import (
	// Plug in the storages, Caddy's standard modules, and the gateway's.
	_ "github.com/pberkel/caddy-storage-redis"
	_ "github.com/techknowlogick/certmagic-s3"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/esigngateway/caddy-bankid-esign"
	_ "github.com/esigngateway/caddy-bankid-esign/caddy/itest/fleet/gateway/defective"
	_ "github.com/esigngateway/caddy-bankid-esign/caddy/itest/fleet/gateway/postgres"
)

func main() {
	caddycmd.Main()
}
