#!/usr/bin/env bash
# Two OCSP clients for Node.js refuse a good response because of certificates that come along with it.
#
# Software:  @techteamer/ocsp 1.0.1 and easy-ocsp 1.3.0 with pkijs 3.4.3, as published on npm; cryptography
#            50.0.2, as published on PyPI, as the responder; OpenSSL 3.0.
# Behaviour: A responder with a certificate of its own signs a response. If only that certificate is in it, or
#            the CA's after it, both clients say "good". If the CA's stands first, @techteamer/ocsp says
#            "Invalid signature". If the CA's and the root's follow, easy-ocsp says "Validation of OCSP
#            response certificate chain failed". OpenSSL finds the status "good" in each case.
# Surprise:  The certificates are there to help, and have no order (RFC 6960 section 4.2.1). Which of them
#            is the responder's is in the response (responderID). A service works for years, until its
#            responder adds a certificate or has them in another order. Then every certificate is refused,
#            and the error is the one for a response that somebody has forged.
# Needs:     bash, Node.js 20 or newer, npm, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check cryptography==50.0.2
npm install --silent --no-audit --no-fund @techteamer/ocsp@1.0.1 easy-ocsp@1.3.0 pkijs@3.4.3 </dev/null >/dev/null
cat >server.py <<'PY'
import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
day = datetime.timedelta(days=1)
keys, certificates, responses = {}, {}, {}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = responses[self.path[1:]]
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def certificate(name, issuer, *extensions):
    keys[name] = ec.generate_private_key(ec.SECP256R1())
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    builder = x509.CertificateBuilder(by, subject, keys[name].public_key(), x509.random_serial_number(), now - day, now + day)
    builder = builder.add_extension(x509.BasicConstraints(not extensions, None), True)
    for extension in extensions:
        builder = builder.add_extension(extension, False)
    certificates[name] = builder.sign(keys[issuer], hashes.SHA256())
    with open(name + ".pem", "wb") as file:
        file.write(certificates[name].public_bytes(serialization.Encoding.PEM))


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
certificate("root", "root")
certificate("CA", "root")
certificate("responder", "CA", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]))
for order in ["responder"], ["responder", "CA"], ["CA", "responder"], ["responder", "CA", "root"]:
    name = "with-" + "-".join(order)
    url = f"http://127.0.0.1:{server.server_port}/"
    methods = {AuthorityInformationAccessOID.OCSP: url + name, AuthorityInformationAccessOID.CA_ISSUERS: url + "CA"}
    access = [x509.AccessDescription(method, x509.UniformResourceIdentifier(value)) for method, value in methods.items()]
    certificate(name, "CA", x509.AuthorityInformationAccess(access))
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificates[name], certificates["CA"], hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now, now + day, None, None
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificates["responder"])
    builder = builder.certificates([certificates[one] for one in order])
    responses[name] = builder.sign(keys["responder"], hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    with open(name + ".response", "wb") as file:
        file.write(responses[name])
with open("ready", "w") as file:
    print("ready", file=file)
server.serve_forever()
PY
venv/bin/python server.py &
server=$!
until [[ -s ready ]]; do sleep 0.1; done
cat >main.mjs <<'JS'
import { readFileSync } from 'node:fs';
import ocsp from '@techteamer/ocsp';
import { getCertStatus } from 'easy-ocsp';

const issuer = readFileSync('CA.pem', 'utf8');
for (const name of process.argv.slice(2)) {
  const cert = readFileSync(`${name}.pem`, 'utf8');
  const first = await new Promise((resolve) => {
    ocsp.check({ cert, issuer }, (error, response) => resolve(error ? error.message : response.certStatus.type));
  });
  console.log(`${name}, @techteamer/ocsp: ${first}`);
  const second = await getCertStatus(cert, { ca: issuer }).then(({ status }) => status, (error) => error.message);
  console.log(`${name}, easy-ocsp: ${second}`);
}
JS
names=(with-responder with-responder-CA with-CA-responder with-responder-CA-root)
got=$(
	for name in "${names[@]}"; do
		echo "$name, OpenSSL: $(openssl ocsp -respin "$name.response" -CAfile root.pem -issuer CA.pem -verify_other CA.pem -cert "$name.pem" 2>/dev/null | sed -n "s/^$name.pem: //p")"
	done
	node main.mjs "${names[@]}" 2>/dev/null
)
want='with-responder, OpenSSL: good
with-responder-CA, OpenSSL: good
with-CA-responder, OpenSSL: good
with-responder-CA-root, OpenSSL: good
with-responder, @techteamer/ocsp: good
with-responder, easy-ocsp: good
with-responder-CA, @techteamer/ocsp: good
with-responder-CA, easy-ocsp: good
with-CA-responder, @techteamer/ocsp: Invalid signature
with-CA-responder, easy-ocsp: good
with-responder-CA-root, @techteamer/ocsp: good
with-responder-CA-root, easy-ocsp: Validation of OCSP response certificate chain failed'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
