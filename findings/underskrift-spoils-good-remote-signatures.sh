#!/usr/bin/env bash
# underskrift makes worthless PDFs of good remote signatures, if it is used as its own page says.
#
# Software:  pyunderskrift 0.1.4 (Python's form of the Rust library underskrift), cryptography 50.0.2 in the
#            part of the remote service, and pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0, all as
#            published on PyPI; pdfsig 22.12 of Debian 12 (poppler-utils).
# Behaviour: prepare_signature gets the signer's certificate and the chain, and gives the hash that a remote
#            service has to sign. finalize_signature puts the service's signature in. With the CA's
#            certificate as the chain, as the example has it ("chain_der=[intermediate_der]"), the signer's
#            certificate is not in the PDF. With the signer's as the first of the chain, it is there once, and
#            the PDF is valid. With a key on P-384 and SHA-256, the hash has 32 octets, and the PDF says
#            ecdsa-with-SHA384 of what the service signs. With SHA-384 it is valid. finalize_signature returns
#            no error in any case.
# Surprise:  There are two parameters, one for the certificate and one for the chain, and nobody gives a
#            certificate twice. SHA-256 is the default of the options, and a service may have no other hash. A
#            remote signature costs the signer's consent, and the key of a short-lived certificate is gone
#            when somebody verifies the PDF for the first time.
# Needs:     bash, OpenSSL 3, Python 3; Debian's poppler-utils.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check cryptography==50.0.2 pyhanko==0.38.0 pyhanko-certvalidator==0.33.0 pyunderskrift==0.1.4
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign 2>/dev/null
for curve in P-256 P-384; do
	openssl req -newkey ec -pkeyopt "ec_paramgen_curve:$curve" -nodes -keyout "$curve.key" -out "$curve.csr" -subj "/CN=$curve" 2>/dev/null
	openssl x509 -req -in "$curve.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$curve.pem" -extfile <(echo keyUsage=critical,nonRepudiation) 2>/dev/null
done
cat >main.py <<'PY'
from io import BytesIO
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyunderskrift import DigestAlgorithm, RemoteSignerInfo, RemoteSigningOptions, SignatureAlgorithm
from pyunderskrift import finalize_signature, prepare_signature


def certificate(name):
    return x509.load_pem_x509_certificate(Path(name + ".pem").read_bytes()).public_bytes(serialization.Encoding.DER)


writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
for curve, algorithm, digest, digest_hash, chain in (
    ("P-256", SignatureAlgorithm.EcdsaP256, DigestAlgorithm.Sha256, hashes.SHA256(), ["ca"]),
    ("P-256", SignatureAlgorithm.EcdsaP256, DigestAlgorithm.Sha256, hashes.SHA256(), ["P-256", "ca"]),
    ("P-384", SignatureAlgorithm.EcdsaP384, DigestAlgorithm.Sha256, hashes.SHA256(), ["P-384", "ca"]),
    ("P-384", SignatureAlgorithm.EcdsaP384, DigestAlgorithm.Sha384, hashes.SHA384(), ["P-384", "ca"]),
):
    info = RemoteSignerInfo(certificate(curve), [certificate(one) for one in chain], digest, algorithm)
    prepared = prepare_signature(plain.getvalue(), info, RemoteSigningOptions(digest_algorithm=digest))
    key = serialization.load_pem_private_key(Path(curve + ".key").read_bytes(), None)
    signature = key.sign(prepared.attrs_hash, ec.ECDSA(utils.Prehashed(digest_hash)))
    signed = finalize_signature(prepared, signature)
    name = f"{curve}, {digest_hash.name}, chain {'+'.join(chain)}"
    Path(name + ".pdf").write_bytes(signed)
    found = PdfFileReader(BytesIO(signed)).embedded_signatures[0]
    names = sorted(one.chosen.subject.native["common_name"] for one in found.signed_data["certificates"])
    print(f"{name}: certificates {names}, {found.signer_info['signature_algorithm']['algorithm'].native}")
PY
got=$(
	venv/bin/python main.py 2>/dev/null
	for name in P-*.pdf; do
		echo "${name%.pdf}, pdfsig: $(pdfsig -nocert "$name" 2>/dev/null | sed -n 's/^  - Signature Validation: //p')"
	done
)
want="P-256, sha256, chain ca: certificates ['CA'], sha256_ecdsa
P-256, sha256, chain P-256+ca: certificates ['CA', 'P-256'], sha256_ecdsa
P-384, sha256, chain P-384+ca: certificates ['CA', 'P-384'], sha384_ecdsa
P-384, sha384, chain P-384+ca: certificates ['CA', 'P-384'], sha384_ecdsa
P-256, sha256, chain P-256+ca, pdfsig: Signature is Valid.
P-256, sha256, chain ca, pdfsig: Unknown Validation Failure.
P-384, sha256, chain P-384+ca, pdfsig: Signature is Invalid.
P-384, sha384, chain P-384+ca, pdfsig: Signature is Valid."
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
