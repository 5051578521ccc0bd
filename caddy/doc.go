// Package caddyesign plugs tokenauth into Caddy. It has the app that holds the clients
// of BankID OIDC, the handler that is the gateway to the eSign APIs, and the reverse
// proxy transport that the handler is built on. For operators, it has a matcher for
// health checks, an admin API, and commands.
package caddyesign
