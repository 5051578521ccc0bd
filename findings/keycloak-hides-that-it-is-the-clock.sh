#!/usr/bin/env bash
# Keycloak tells a client whose clock is wrong neither the time nor that it is the time.
#
# Software:  Keycloak 26.7.3, as published on Maven Central (26.4.7 is the same).
# Behaviour: No response has a Date header. A DPoP proof that is a minute old or of a
#            minute to come is refused with 400 invalid_request, as is one that is missing:
#            invalid_dpop_proof, which RFC 9449 section 5 demands for that, does not exist. A
#            client assertion of a minute to come is refused with 400 invalid_client.
# Surprise:  RFC 9110 section 6.6.1 demands Date of a server that has a clock, and a client
#            that corrects its clock by it finds nothing. By the code, the client would
#            have to mend its request, or its registration.
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

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem 2>/dev/null
n=$(openssl rsa -in key.pem -noout -modulus | sed 's/Modulus=//' | basenc --base16 -d | base64url)
jwk='"kty":"RSA","n":"'$n'","e":"AQAB"'
# sign HEADER CLAIMS prints a JWT.
sign() {
	local signed
	signed=$(printf %s "{\"alg\":\"RS256\",$1}" | base64url).$(printf %s "{$2}" | base64url)
	printf '%s.%s' "$signed" "$(printf %s "$signed" | openssl dgst -sha256 -sign key.pem -binary | base64url)"
}
client c '"use.jwks.string":"true","jwks.string":"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k\",\"use\":\"sig\",\"n\":\"'"$n"'\",\"e\":\"AQAB\"}]}"'

endpoint=$base/realms/master/protocol/openid-connect/token
# request SECONDS PROOF_SECONDS asks for a token with an assertion, and if that is not empty
# a proof, that are dated by so many seconds ahead.
request() {
	local now proof=()
	now=$(date +%s)
	if [[ $2 ]]; then
		proof=(-H "DPoP: $(sign "\"typ\":\"dpop+jwt\",\"jwk\":{$jwk}" \
			"\"jti\":\"$RANDOM$RANDOM\",\"htm\":\"POST\",\"htu\":\"$endpoint\",\"iat\":$((now + $2))")")
	fi
	curl -sS -D headers "${proof[@]}" "$endpoint" -d grant_type=client_credentials \
		-d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
		-d "client_assertion=$(sign '"kid":"k"' "\"iss\":\"c\",\"sub\":\"c\",\"aud\":\"$base/realms/master\",\"jti\":\"$RANDOM$RANDOM\",\"iat\":$((now + $1)),\"exp\":$((now + $1 + 60))")" |
		sed 's/.*"token_type":"\([^"]*\)".*/\1/; s/.*"error":"\([^"]*\)","error_description":"\([^"]*\)".*/\1 (\2)/' >said
	printf '%s %s%s\n' "$(sed -n '1s/[^ ]* \([0-9]*\).*/\1/p' headers)" "$(cat said)" "$(sed -n 's/^[Dd]ate:.*/, at &/p' headers)"
}
got=$(request 0 '' && request 0 0 && request 0 60 && request 0 -60 && request 60 '')
want='200 Bearer
200 DPoP
400 invalid_request (DPoP proof is not active)
400 invalid_request (DPoP proof is not active)
400 invalid_client (Token was issued in the future)'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
