#!/usr/bin/env bash
# Java does not recognize the name of a qualified authority as others print it, nor as it does itself.
#
# Software:  X500Principal of Java 17 (tried with OpenJDK 17.0.15); OpenSSL 3.0; cryptography 50.0.2, as
#            published on PyPI.
# Behaviour: The names of qualified authorities have an organizationIdentifier (2.5.4.97, ETSI EN 319
#            412), which OpenSSL and others write as UTF8String. X500Principal cannot read OpenSSL's
#            "organizationIdentifier=". It reads the "2.5.4.97=" of cryptography and the "OID.2.5.4.97="
#            of its own toString, as PrintableString, and then it is another name: equals is false. Equal
#            is only what getName prints, with the value in hexadecimal. Without the attribute, all are
#            equal.
# Surprise:  The kind of string is of no matter in a comparison (RFC 5280 section 7.1), and Java does
#            keep to that for O and CN. What names its issuer as text, such as X509IssuerName of a signed
#            XML, or a list of trusted names, works with all authorities but the qualified ones.
# Needs:     bash, Java 17, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check cryptography==50.0.2
# certificate NAME SUBJECT
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out "$1.pem" -days 2 -utf8 -subj "$2" 2>/dev/null
}
certificate plain '/C=NO/O=Eksempel AS/CN=Eksempel CA'
certificate qualified '/C=NO/O=Eksempel AS/organizationIdentifier=NTRNO-123456785/CN=Eksempel CA'
cat >name.py <<'PY'
import sys
from pathlib import Path

from cryptography import x509

print(x509.load_pem_x509_certificate(Path(sys.argv[1]).read_bytes()).subject.rfc4514_string())
PY
cat >Names.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.security.auth.x500.X500Principal;

public class Names {
	public static void main(String[] args) throws Exception {
		var certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(args[0]));
		X500Principal name = certificate.getSubjectX500Principal();
		compare("OpenSSL", args[1], name);
		compare("cryptography", args[2], name);
		compare("toString", name.toString(), name);
		compare("getName", name.getName(), name);
	}

	static void compare(String by, String text, X500Principal name) {
		String result;
		try {
			result = new X500Principal(text).equals(name) ? "equal" : "not equal";
		} catch (IllegalArgumentException e) {
			result = e.getCause().getMessage();
		}
		System.out.println(by + ": " + text + ": " + result);
	}
}
JAVA
got=$(
	for name in plain qualified; do
		java -XX:TieredStopAtLevel=1 Names.java $name.pem "$(openssl x509 -in $name.pem -noout -subject -nameopt RFC2253 | sed 's/^subject=//')" "$(venv/bin/python name.py $name.pem)"
	done
)
want='OpenSSL: CN=Eksempel CA,O=Eksempel AS,C=NO: equal
cryptography: CN=Eksempel CA,O=Eksempel AS,C=NO: equal
toString: CN=Eksempel CA, O=Eksempel AS, C=NO: equal
getName: CN=Eksempel CA,O=Eksempel AS,C=NO: equal
OpenSSL: CN=Eksempel CA,organizationIdentifier=NTRNO-123456785,O=Eksempel AS,C=NO: Invalid keyword "ORGANIZATIONIDENTIFIER"
cryptography: CN=Eksempel CA,2.5.4.97=NTRNO-123456785,O=Eksempel AS,C=NO: not equal
toString: CN=Eksempel CA, OID.2.5.4.97=NTRNO-123456785, O=Eksempel AS, C=NO: not equal
getName: CN=Eksempel CA,2.5.4.97=#0c0f4e54524e4f2d313233343536373835,O=Eksempel AS,C=NO: equal'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
