// Command gateway is Caddy with the gateway and with storage in Redis.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// Plug in Caddy's standard modules, the storage, and the gateway's.
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/pberkel/caddy-storage-redis"

	_ "github.com/esigngateway/caddy-bankid-esign"
)

func main() {
	caddycmd.Main()
}
