#!/usr/bin/env bash
# A log line makes text of the time that Perl's Crypt::JWT signs, and oidc-provider refuses it.
#
# Software:  Crypt::JWT 0.034, JSON::XS 4.04 and Perl 5.36, all of Debian 12; oidc-provider 9.13.3, as
#            published on npm.
# Behaviour: A program makes a client assertion with "exp" => time + 60. If it writes the value to its log
#            before, or checks it by a regular expression, Crypt::JWT signs "exp":"1796135496", and
#            not 1796135496. oidc-provider says invalid_client, "invalid exp value". decode_jwt of
#            Crypt::JWT finds nothing wrong. With JSON::PP, all are numbers: Crypt::JWT takes JSON::XS
#            if it is installed, as Debian recommends.
# Surprise:  To look at a value does not change it. Perl 5.36 tells a number that was printed from a text
#            (builtin::created_as_number), and JSON::PP makes use of that. "exp" must be a number (RFC
#            7519 sections 2 and 4.1.4). The program works, until somebody raises the level of its log to
#            see why something else fails, or installs the faster library.
# Needs:     bash, curl, Node.js 20 or newer, npm, OpenSSL; Debian 12's libcrypt-jwt-perl and libjson-xs-perl.
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
npm install --silent --no-audit --no-fund oidc-provider@9.13.3 </dev/null >/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
cat >server.mjs <<'JS'
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'client', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
    grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
    jwks: { keys: [createPublicKey(readFileSync('key.pem')).export({ format: 'jwk' })] },
  }],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
});
provider.on('grant.error', (_, error) => console.log(`reason: ${error.error_detail}`));
server.on('request', provider.callback());
console.log(issuer);
JS
cat >sign.pl <<'PERL'
use strict;
use warnings;
use Crypt::JWT qw(decode_jwt encode_jwt);
use Crypt::PK::ECC;

my ($case, $issuer) = @ARGV;
my $key = Crypt::PK::ECC->new('key.pem');
my $claims = {iss => 'client', sub => 'client', aud => $issuer, jti => 'id-' . rand, exp => time + 60};
if ($case eq 'log') {
    print STDERR "the assertion ends at $claims->{exp}\n";
} elsif ($case eq 'check') {
    die if $claims->{exp} !~ /^[0-9]+$/;
}
my $token = encode_jwt(payload => $claims, alg => 'ES256', key => $key);
decode_jwt(token => $token, key => $key, verify_exp => 1);
print $token;
PERL
node server.mjs >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	issuer=$(grep -os '^http://.*' log) && break
	((i < 100)) || { cat log; exit 1; }
	sleep 0.2
done
got=$(
	for backend in JSON::XS JSON::PP; do
		for case in plain log check; do
			assertion=$(PERL_JSON_BACKEND=$backend perl sign.pl $case "$issuer" 2>/dev/null)
			exp=$(cut -d . -f 2 <<<"$assertion" | tr -- '-_' '+/' | { base64 -d 2>/dev/null || true; } | grep -o '"exp":[^,}]*' | tr 0-9 9)
			answer=$(curl -sS "$issuer/token" -d grant_type=client_credentials --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer -d "client_assertion=$assertion" -w ' %{http_code}')
			result="${answer##* } $(grep -o '"error":"[a-z_]*"' <<<"$answer" | cut -d '"' -f 4)"
			[[ $answer == *200 ]] || result+=", $(tail -n 1 log)"
			echo "$backend, $case: $exp, ${result% }"
		done
	done
)
want='JSON::XS, plain: "exp":9999999999, 200
JSON::XS, log: "exp":"9999999999", 401 invalid_client, reason: invalid exp value
JSON::XS, check: "exp":"9999999999", 401 invalid_client, reason: invalid exp value
JSON::PP, plain: "exp":9999999999, 200
JSON::PP, log: "exp":9999999999, 200
JSON::PP, check: "exp":9999999999, 200'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
