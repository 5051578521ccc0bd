#!/usr/bin/env bash
# OpenSSL and pdfsig refuse the certificates that are made for signing documents.
#
# Software:  OpenSSL 3.0 (openssl cms), pdfsig 22.12 (poppler-utils) with NSS 3.87, gpgsm 2.2.40 (GnuPG) and
#            certtool 3.7.9 (GnuTLS), all of Debian 12; pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0, as
#            published on PyPI.
# Behaviour: A signer's certificate has the key usage nonRepudiation. Without an extended key usage, and
#            with emailProtection, all accept it. With id-kp-documentSigning (1.3.6.1.5.5.7.3.36), pdfsig
#            says of the certificate "Unknown issue with Certificate or corrupted data", and "openssl
#            cms -verify" says "unsuitable certificate purpose", unless it is given "-purpose any". gpgsm,
#            certtool and pyHanko find the same signatures good.
# Surprise:  RFC 9336 has this purpose since 2022 for signing what humans read, so that nobody needs the
#            one for e-mail, and a PDF is just that. The certificate that fits best is refused, and the
#            one for e-mail is trusted.
# Needs:     bash, OpenSSL 3, Python 3; Debian's gnutls-bin, gpgsm, libnss3-tools and poppler-utils.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'gpgconf --kill all 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=ca" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
names=("none" "emailProtection" "id-kp-documentSigning")
declare -A purposes=([emailProtection]=emailProtection [id-kp-documentSigning]=1.3.6.1.5.5.7.3.36)
printf document >document
for name in "${names[@]}"; do
	extensions=("keyUsage=critical,nonRepudiation" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid)
	[[ $name == none ]] || extensions+=("extendedKeyUsage=${purposes[$name]}")
	openssl req -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" 2>/dev/null
	openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$name.pem" -extfile <(printf '%s\n' "${extensions[@]}") 2>/dev/null
	openssl cms -sign -cades -binary -in document -signer "$name.pem" -inkey "$name.key" -certfile ca.pem -outform der -out "$name.p7s"
done
mkdir nss
certutil -N -d sql:nss --empty-password
certutil -A -d sql:nss -n ca -t CT,C,C -i ca.pem
mkdir -m 700 gnupg
export GNUPGHOME=$dir/gnupg
echo "$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | cut -d = -f 2) S relax" >gnupg/trustlist.txt
echo disable-crl-checks >gnupg/gpgsm.conf
gpgsm -q --batch --import ca.pem 2>/dev/null
cat >main.py <<'PY'
import sys
from io import BytesIO
from pathlib import Path

from pyhanko.keys import load_cert_from_pemder, load_private_key_from_pemder
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

store = SimpleCertificateStore()
root = load_cert_from_pemder("ca.pem")
store.register(root)
writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
for name in sys.argv[1:]:
    signer = signers.SimpleSigner(load_cert_from_pemder(name + ".pem"), load_private_key_from_pemder(name + ".key", None), cert_registry=store)
    signed = signers.PdfSigner(metadata, signer=signer).sign_pdf(IncrementalPdfFileWriter(BytesIO(plain.getvalue())))
    Path(name + ".pdf").write_bytes(signed.getvalue())
    signature = PdfFileReader(signed).embedded_regular_signatures[0]
    print(f"{name}, pyHanko: trusted: {validate_pdf_signature(signature, ValidationContext(trust_roots=[root])).trusted}")
PY
got=$(
	venv/bin/python main.py "${names[@]}" 2>/dev/null
	for name in "${names[@]}"; do
		pdfsig -nssdir "$dir/nss" "$name.pdf" 2>/dev/null | sed -n "s/^  - \(Signature\|Certificate\) Validation: /$name, pdfsig, \1: /p"
		cms=(openssl cms -verify -binary -inform der -in "$name.p7s" -content document -CAfile ca.pem)
		echo "$name, openssl cms: $("${cms[@]}" 2>&1 >/dev/null | sed -n '$s/.*: *//;$p')"
		echo "$name, openssl cms -purpose any: $("${cms[@]}" -purpose any 2>&1 >/dev/null | sed -n '$s/.*: *//;$p')"
		echo "$name, gpgsm: $(gpgsm -q --batch --verify "$name.p7s" document 2>&1 | grep -o 'Good signature')"
		echo "$name, certtool: $(certtool --p7-verify --inder --infile "$name.p7s" --load-data document --load-ca-certificate ca.pem 2>&1 | sed -n 's/.*Signature status: //p')"
	done
)
want='none, pyHanko: trusted: True
emailProtection, pyHanko: trusted: True
id-kp-documentSigning, pyHanko: trusted: True
none, pdfsig, Signature: Signature is Valid.
none, pdfsig, Certificate: Certificate is Trusted.
none, openssl cms: CMS Verification successful
none, openssl cms -purpose any: CMS Verification successful
none, gpgsm: Good signature
none, certtool: ok
emailProtection, pdfsig, Signature: Signature is Valid.
emailProtection, pdfsig, Certificate: Certificate is Trusted.
emailProtection, openssl cms: CMS Verification successful
emailProtection, openssl cms -purpose any: CMS Verification successful
emailProtection, gpgsm: Good signature
emailProtection, certtool: ok
id-kp-documentSigning, pdfsig, Signature: Signature is Valid.
id-kp-documentSigning, pdfsig, Certificate: Unknown issue with Certificate or corrupted data.
id-kp-documentSigning, openssl cms: unsuitable certificate purpose
id-kp-documentSigning, openssl cms -purpose any: CMS Verification successful
id-kp-documentSigning, gpgsm: Good signature
id-kp-documentSigning, certtool: ok'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
