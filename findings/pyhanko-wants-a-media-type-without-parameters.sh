#!/usr/bin/env bash
# pyHanko does not take the certificate of an issuer if its media type has a parameter or a capital letter.
#
# Software:  pyhanko-certvalidator 0.33.0 with pyHanko 0.38.0, as published on PyPI; CertPathBuilder of
#            Java 17, with com.sun.security.enableAIAcaIssuers, for comparison.
# Behaviour: A signer's certificate says where the one of its issuer is (authorityInfoAccess). It comes as
#            application/pkix-cert, or as application/pkcs7-mime, and the path is valid. If the header is
#            "application/pkcs7-mime; smime-type=certs-only", "application/pkix-cert; charset=UTF-8" or
#            "Application/pkix-cert", pyHanko finds "no issuer matching". Of octets without a Content-Type
#            it finds out by itself what they are. Java takes all of them.
# Surprise:  smime-type=certs-only is what RFC 8551 section 3.2.2 and EST (RFC 7030 section 4.2.3) have for
#            certificates without a signature, and web servers add a charset by themselves. A media
#            type may have parameters, and has no case (RFC 9110 section 8.3.1). The error says
#            nothing of a media type, and that something was fetched.
# Needs:     bash, Java 17, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }
new_key root
openssl req -x509 -new -key root.key -days 2 -subj "/CN=root" -out root.pem
new_key issuer
printf 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n' >issuer.cnf
openssl req -new -key issuer.key -subj "/CN=issuer" -out issuer.csr
openssl x509 -req -in issuer.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile issuer.cnf -out issuer.pem 2>/dev/null
openssl x509 -in issuer.pem -outform der -out issuer.cer
openssl crl2pkcs7 -nocrl -certfile issuer.pem -outform der -out issuer.p7c
cat >server.py <<'PY'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, name, media_type = unquote(self.path).split("/", 2)
        body = open(name, "rb").read()
        self.send_response(200)
        if media_type:
            self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
venv/bin/python server.py >port 2>/dev/null &
server=$!
until [[ -s port ]]; do sleep 0.1; done
names=(
	"issuer.cer/application/pkix-cert"
	"issuer.cer/application/pkix-cert; charset=UTF-8"
	"issuer.cer/Application/pkix-cert"
	"issuer.cer/"
	"issuer.p7c/application/pkcs7-mime"
	"issuer.p7c/application/pkcs7-mime; smime-type=certs-only"
)
new_key signer
openssl req -new -key signer.key -subj "/CN=signer" -out signer.csr
for i in "${!names[@]}"; do
	path=${names[i]// /%20}
	printf 'keyUsage=critical,digitalSignature\nauthorityInfoAccess=@aia\n[aia]\ncaIssuers;URI.1=http://127.0.0.1:%s/%s\n' "$(<port)" "${path//;/%3B}" >signer.cnf
	openssl x509 -req -in signer.csr -CA issuer.pem -CAkey issuer.key -CAcreateserial -days 2 -extfile signer.cnf -out "$i.pem" 2>/dev/null
done
cat >main.py <<'PY'
import asyncio
import sys

from asn1crypto import pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathBuildingError


def load(name):
    with open(name, "rb") as file:
        return x509.Certificate.load(pem.unarmor(file.read())[2])


async def validate(certificate):
    context = ValidationContext(trust_roots=[load("root.pem")], allow_fetching=True, revocation_mode="soft-fail")
    try:
        await CertificateValidator(certificate, validation_context=context).async_validate_path()
        return "valid"
    except PathBuildingError as error:
        return str(error).split(" - ")[-1]


for i, name in enumerate(sys.argv[1:]):
    file, media_type = name.split("/", 1)
    print(f"pyHanko, {media_type or 'none'}: {asyncio.run(validate(load(f'{i}.pem')))}")
PY
cat >Path.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.Set;

public class Path {
	static X509Certificate load(String name) throws Exception {
		try (var file = new FileInputStream(name)) {
			return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
		}
	}

	public static void main(String[] args) throws Exception {
		for (int i = 0; i < args.length; i++) {
			var selector = new X509CertSelector();
			selector.setCertificate(load(i + ".pem"));
			var parameters = new PKIXBuilderParameters(Set.of(new TrustAnchor(load("root.pem"), null)), selector);
			parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(Set.of(selector.getCertificate()))));
			parameters.setRevocationEnabled(false);
			String mediaType = args[i].split("/", 2)[1];
			String result;
			try {
				CertPathBuilder.getInstance("PKIX").build(parameters);
				result = "valid";
			} catch (CertPathBuilderException exception) {
				result = exception.getMessage();
			}
			System.out.println("Java, " + (mediaType.isEmpty() ? "none" : mediaType) + ": " + result);
		}
	}
}
JAVA
got=$(
	java -Dcom.sun.security.enableAIAcaIssuers=true Path.java "${names[@]}" 2>/dev/null
	venv/bin/python main.py "${names[@]}" 2>/dev/null
)
want='Java, application/pkix-cert: valid
Java, application/pkix-cert; charset=UTF-8: valid
Java, Application/pkix-cert: valid
Java, none: valid
Java, application/pkcs7-mime: valid
Java, application/pkcs7-mime; smime-type=certs-only: valid
pyHanko, application/pkix-cert: valid
pyHanko, application/pkix-cert; charset=UTF-8: no issuer matching "Common Name: issuer" was found
pyHanko, Application/pkix-cert: no issuer matching "Common Name: issuer" was found
pyHanko, none: valid
pyHanko, application/pkcs7-mime: valid
pyHanko, application/pkcs7-mime; smime-type=certs-only: no issuer matching "Common Name: issuer" was found'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
