package caddyesign

import (
	"net/http"
	"slices"
	"strings"
)

// forwardingFields are request header fields that proxies, load balancers and tunnels
// add, as net/http spells them, with the sources that document them. Most proxies add a
// field of the first group. The fields of the second group reveal a proxy that was
// configured not to add those, or whose fields a further proxy has replaced.
//
// Fields for tracing are not listed, since programs send them as well: X-Request-Id,
// traceparent, and X-Amzn-Trace-Id of the X-Ray SDK, for instance.
var forwardingFields = []string{
	"Via",               // RFC 9110 section 7.6.3
	"Forwarded",         // RFC 7239
	"Forwarded-For",     // what came before it
	"X-Real-Ip",         // nginx ngx_http_realip_module, Traefik, Oracle Cloud load balancer
	"Cdn-Loop",          // RFC 8586
	"Client-Cert",       // RFC 9440
	"Client-Cert-Chain", // the same

	"X-Client-Ip",          // Apache mod_remoteip's example
	"X-Cluster-Client-Ip",  // Rackspace Cloud Load Balancers, Riverbed
	"X-Scheme",             // ingress-nginx: its configuration template
	"X-Rewrite-Url",        // ISAPI_Rewrite, Zend
	"Front-End-Https",      // Microsoft ISA Server, Forefront TMG
	"Proxy-Client-Ip",      // Oracle WebLogic Server proxy plug-ins
	"Wl-Proxy-Client-Ip",   // the same
	"Wl-Proxy-Ssl",         // the same
	"Client-Ip",            // Azure App Service front ends
	"Disguised-Host",       // the same
	"Was-Default-Hostname", // the same
	"X-Nginx-Proxy",        // many tutorials on nginx
	"X-Varnish",            // Varnish: User Guide, "Transactions"
	"True-Client-Ip",       // Akamai "True Client IP Header", Cloudflare "HTTP headers"
	"Akamai-Origin-Hop",    // Akamai: requests from edge to origin
	"Ali-Cdn-Real-Ip",      // Alibaba Cloud CDN: origin fetch
	"Do-Connecting-Ip",     // DigitalOcean App Platform
	"Incap-Client-Ip",      // Imperva: client IP in the origin's log
	"X-Amz-Cf-Id",          // CloudFront Developer Guide, "HTTP request headers and CloudFront behavior"
	"X-Proxyuser-Ip",       // Google: proxies of its own services
	"X-Request-Start",      // Heroku "HTTP routing", "Heroku headers"
	"Surrogate-Capability", // W3C Edge Architecture Specification
	"X-Bluecoat-Via",       // Symantec ProxySG
}

// forwardingPrefixes are prefixes that several such fields share.
var forwardingPrefixes = []string{
	"X-Forward",   // X-Forwarded-*: Squid, Apache mod_proxy, Caddy, HAProxy, ELB, ngrok, cloudflared, tailscale serve …
	"X-Original-", // -Host, -URL: Azure Application Gateway, ARR; -Forwarded-For: ingress-nginx; -Host: ngrok

	"Cf-",               // Cloudflare "HTTP headers"; cloudflared forwards them
	"Fastly-",           // Fastly "HTTP headers": Fastly-Client-IP, Fastly-FF, Fastly-SSL
	"Fly-",              // Fly.io "Request headers"
	"X-Akamai-",         // Akamai "Content Targeting (EdgeScape)"
	"Cloudfront-",       // CloudFront Developer Guide, "Add CloudFront request headers"
	"X-Amzn-Apigateway", // Amazon API Gateway: x-amzn-apigateway-api-id
	"X-Amzn-Mtls-",      // Elastic Load Balancing "Mutual authentication with TLS"
	"X-Amzn-Oidc-",      // Elastic Load Balancing "Authenticate users"
	"X-Amzn-Tls-",       // Elastic Load Balancing attribute routing.http.x_amzn_tls_version_and_cipher_suite
	"X-Appengine-",      // App Engine "Request headers"
	"X-Appgw-",          // Azure "How Application Gateway works", "Modifications to the request"
	"X-Arr-",            // IIS Application Request Routing "Proxy Page": X-ARR-LOG-ID, X-ARR-ClientCert
	"X-Azure-",          // Azure Front Door "HTTP headers protocol support"
	"X-Fd-",             // the same
	"X-Envoy-",          // Envoy "HTTP header manipulation", "HTTP header sanitizing"
	"L5d-",              // Linkerd: l5d-client-id, l5d-dst-override
	"X-Nf-",             // Netlify: X-Nf-Client-Connection-Ip, X-Nf-Request-Id
	"X-Sucuri-",         // Sucuri: X-Sucuri-ClientIP, X-Sucuri-Country
	"X-Vercel-",         // Vercel "Request headers"
	"Ngrok-Auth",        // ngrok OAuth: ngrok-auth-user-email
	"Tailscale-",        // Tailscale "Serve", "Identity headers"; Funnel: Tailscale-Funnel-Request
}

// forwarded reports whether a proxy has forwarded the request with these header fields,
// as far as the fields tell.
func forwarded(header http.Header) bool {
	for name := range header {
		if strings.Contains(name, "_") { // CGI's spelling
			name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		}
		if slices.Contains(forwardingFields, name) ||
			slices.ContainsFunc(forwardingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}
