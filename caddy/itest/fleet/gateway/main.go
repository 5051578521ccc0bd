// Command gateway is Caddy with the gateway and with storage in Redis.
package main

import (
	// Plug in the storage, Caddy's standard modules, and the gateway's.
	_ "github.com/pberkel/caddy-storage-redis"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/esigngateway/caddy-bankid-esign"
)

func main() {
	caddycmd.Main()
}
