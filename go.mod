module github.com/esigngateway/caddy-bankid-esign

go 1.26.0

require (
	github.com/caddyserver/caddy/v2 v2.11.9
	github.com/go-jose/go-jose/v4 v4.1.6
	go.uber.org/goleak v1.3.0
	go.uber.org/zap v1.28.0
	golang.org/x/oauth2 v0.37.0
)
