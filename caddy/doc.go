// Package caddyesign plugs tokenauth into Caddy: the app that holds the clients
// of BankID OIDC, the handler that is the gateway to the eSign APIs, and the
// reverse proxy transport that the handler is built on; and for whoever operates
// it, a matcher for health checks, an admin API, and commands.
package caddyesign
