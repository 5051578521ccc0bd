#!/usr/bin/env bash
# The subject of a client certificate is another text for Caddy than for OpenSSL, in its order too.
#
# Software:  Caddy v2.11.9 ({http.request.tls.client.subject}), with crypto/x509/pkix of Go 1.26; OpenSSL
#            3.0.
# Behaviour: "openssl x509 -subject -nameopt RFC2253" prints the attributes in the reverse order of the
#            certificate. Caddy has an order of its own, by kind. It joins attributes of one kind by "+",
#            as if they stood side by side in one part of the name. Kinds that Go has no name for, such
#            as givenName and organizationIdentifier, come last, in hexadecimal, and encoded anew:
#            "#130f..." is a PrintableString, while the certificate has the UTF8String "#0c0f...".
# Surprise:  RFC 4514 section 2.1, as RFC 2253 before it, has the order of the certificate, and of what
#            is in hexadecimal one expects that it is in the certificate. A list of admitted subjects
#            works with OpenSSL's text for CN, O and C in the usual order, and refuses an organisation's
#            seal.
# Needs:     bash, curl, Go, OpenSSL 3. (Caddy takes some minutes to compile.)
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
server=
stop() {
	if [[ $server ]]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
export XDG_CONFIG_HOME=$dir XDG_DATA_HOME=$dir
GOBIN=$dir go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
port=$((20000 + RANDOM % 10000))
cat >Caddyfile <<CADDY
{
	admin off
	auto_https disable_redirects
}
https://localhost:$port {
	tls server.pem server.key {
		client_auth {
			mode request
		}
	}
	respond "{http.request.tls.client.subject}"
}
CADDY
./caddy run </dev/null >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	! curl -fs -o /dev/null --cacert server.pem https://localhost:$port || break
	((i < 120)) || { cat log; exit 1; }
	sleep 0.5
done
got=$(
	for subject in /C=NO/O=Example/CN=app /CN=app/O=Example/C=NO /C=NO/O=Example/OU=a/OU=b/CN=app /C=NO/O=Example/organizationIdentifier=NTRNO-123456785/CN=seal; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -out client.pem -days 2 -subj $subject 2>/dev/null
		echo "$subject"
		echo "  OpenSSL: $(openssl x509 -in client.pem -noout -subject -nameopt RFC2253 | sed 's/^subject=//')"
		echo "  Caddy:   $(curl -s --cacert server.pem --cert client.pem --key client.key https://localhost:$port)"
	done
	echo "  encoded: $(openssl x509 -in client.pem -noout -subject -nameopt RFC2253,oid,dump_all,dump_der | grep -o '2\.5\.4\.97=[^,]*')"
)
want='/C=NO/O=Example/CN=app
  OpenSSL: CN=app,O=Example,C=NO
  Caddy:   CN=app,O=Example,C=NO
/CN=app/O=Example/C=NO
  OpenSSL: C=NO,O=Example,CN=app
  Caddy:   CN=app,O=Example,C=NO
/C=NO/O=Example/OU=a/OU=b/CN=app
  OpenSSL: CN=app,OU=b,OU=a,O=Example,C=NO
  Caddy:   CN=app,OU=a+OU=b,O=Example,C=NO
/C=NO/O=Example/organizationIdentifier=NTRNO-123456785/CN=seal
  OpenSSL: CN=seal,organizationIdentifier=NTRNO-123456785,O=Example,C=NO
  Caddy:   CN=seal,O=Example,C=NO,2.5.4.97=#130f4e54524e4f2d313233343536373835
  encoded: 2.5.4.97=#0C0F4E54524E4F2D313233343536373835'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
