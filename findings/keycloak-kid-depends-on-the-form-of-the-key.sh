#!/usr/bin/env bash
# In Keycloak, the kid of a client's key depends on the form in which it is registered.
#
# Software:  Keycloak 26.7.3, as published on Maven Central.
# Behaviour: A public key that is registered as PEM (the client's attribute
#            jwt.credential.public.key), rather than as a JWK set, goes by the kid
#            base64url(SHA-256(DER SubjectPublicKeyInfo)). The thumbprint of RFC 7638 is
#            refused with 400 invalid_client, "Unable to load public key". An assertion
#            without a kid is taken if the key is an RSA key, and refused if it is an EC key.
# Surprise:  Libraries use the thumbprint where no kid is given, the console shows no
#            kid, and the same key works with RSA and not with EC. 26.4.7 takes no EC key as PEM
#            by any kid.
# Needs:     bash, curl, Java 17, Maven, OpenSSL, unzip.
# Output:    see "want" below.
set -euo pipefail
version=${1:-26.7.3}
dir=$(mktemp -d)
server=
stop() {
	if [[ $server ]]; then
		kill -- "-$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"

mvn -q -B dependency:get -Dtransitive=false -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" </dev/null >/dev/null
unzip -q "$HOME/.m2/repository/org/keycloak/keycloak-quarkus-dist/$version/keycloak-quarkus-dist-$version.zip"
port=$((20000 + RANDOM % 10000))
set -m # a process group of its own, to end as a whole
KC_BOOTSTRAP_ADMIN_CLIENT_ID=admin KC_BOOTSTRAP_ADMIN_CLIENT_SECRET=admin JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1 \
	"keycloak-$version/bin/kc.sh" start-dev --db=dev-mem --http-host=127.0.0.1 --http-port="$port" </dev/null >log 2>&1 &
server=$!
set +m
base=http://127.0.0.1:$port
for ((i = 0; ; i++)); do
	! curl -fs -o /dev/null "$base/realms/master" || break
	((i < 240)) || { cat log; exit 1; }
	sleep 0.5
done
token=$(curl -fsS -d 'grant_type=client_credentials&client_id=admin&client_secret=admin' \
	"$base/realms/master/protocol/openid-connect/token" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
# client CLIENT ATTRIBUTES registers one that authenticates with a key, in the realm master.
client() {
	curl -fsS -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$base/admin/realms/master/clients" \
		-d '{"clientId":"'"$1"'","serviceAccountsEnabled":true,"clientAuthenticatorType":"client-jwt","attributes":{'"$2"'}}'
}
base64url() { basenc --base64url -w0 | tr -d =; }

# sign KEY ALG KID CLIENT prints a client assertion.
sign() {
	local now signed kid=
	now=$(date +%s)
	[[ -z $3 ]] || kid=",\"kid\":\"$3\""
	signed=$(printf %s "{\"alg\":\"$2\"$kid}" | base64url)
	signed+=.$(printf %s "{\"iss\":\"$4\",\"sub\":\"$4\",\"aud\":\"$base/realms/master\",\"jti\":\"$RANDOM$RANDOM\",\"iat\":$now,\"exp\":$((now + 60))}" | base64url)
	printf %s. "$signed"
	printf %s "$signed" | openssl dgst -sha256 -sign "$1" -binary >signature
	if [[ $2 == ES256 ]]; then # r and s, one after the other
		openssl asn1parse -inform DER -in signature | sed -n 's/.*INTEGER *://p' | while read -r number; do
			printf '%64s' "$number" | tr ' ' 0
		done | basenc --base16 -d >raw
		mv raw signature
	fi
	base64url <signature
}
# request ARGUMENTS asks for a token with the assertion that sign prints.
request() {
	curl -sS -o answer -w '%{http_code}' "$base/realms/master/protocol/openid-connect/token" -d grant_type=client_credentials \
		-d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer -d "client_assertion=$(sign "$@")"
}
number() { basenc --base16 -d | base64url; }
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out RS256.pem 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ES256.pem 2>/dev/null
n=$(openssl rsa -in RS256.pem -noout -modulus | sed 's/Modulus=//' | number)
point=$(openssl pkey -in ES256.pem -pubout -outform DER | tail -c 64 | basenc --base16 -w0)
# Members in the order of RFC 7638 section 3.2.
declare -A jwk=([RS256]='{"e":"AQAB","kty":"RSA","n":"'$n'"}'
	[ES256]='{"crv":"P-256","kty":"EC","x":"'$(number <<<"${point:0:64}")'","y":"'$(number <<<"${point:64}")'"}')
got=$(for alg in RS256 ES256; do
	openssl pkey -in $alg.pem -pubout -outform DER >public
	client $alg '"token.endpoint.auth.signing.alg":"'$alg'","jwt.credential.public.key":"'"$(base64 -w0 public)"'"'
	thumbprint=$(printf %s "${jwk[$alg]}" | openssl dgst -sha256 -binary | base64url)
	digest=$(openssl dgst -sha256 -binary public | base64url)
	echo "$alg: thumbprint $(request $alg.pem $alg "$thumbprint" $alg), digest $(request $alg.pem $alg "$digest" $alg), none $(request $alg.pem $alg '' $alg)"
done)
want='RS256: thumbprint 400, digest 200, none 200
ES256: thumbprint 400, digest 200, none 400'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
