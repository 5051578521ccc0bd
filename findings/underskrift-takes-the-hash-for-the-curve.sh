#!/usr/bin/env bash
# Whether underskrift calls a good ECDSA signature invalid depends on the hash, and the text names another curve.
#
# Software:  pyunderskrift 0.1.4 (Python's form of the Rust library underskrift) and pyHanko 0.38.0 with
#            pyhanko-certvalidator 0.33.0, as published on PyPI; pdfsig 22.12 of Debian 12 (poppler-utils).
# Behaviour: pyHanko signs PDFs (PAdES) with keys on P-256, P-384 and P-521, each with SHA-256, SHA-384 and
#            SHA-512. pdfsig finds all nine valid. underskrift finds P-256 with SHA-256 and P-384 with SHA-384
#            valid, and P-521 with each. The other four are "invalid". Of P-256 with SHA-384 it says "P-521 key
#            decode failed: unknown/unsupported algorithm OID: 1.3.132.0.35", and of P-256 with SHA-512 the
#            same for P-384. The digest of the document matches each time.
# Surprise:  In CMS, the curve follows from the certificate, and each of these hashes may go with it (RFC
#            5753 section 2.1.1). It is JWS that binds the one to the other. P-384 with SHA-256 is what a
#            remote service makes that has one hash for all keys. The text names a curve that is nowhere in
#            the document. The status is that of a document that was changed, though
#            cryptographic_validity has another kind, "unknown_algorithm".
# Needs:     bash, OpenSSL 3, Python 3; Debian's poppler-utils.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0 pyunderskrift==0.1.4
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign 2>/dev/null
for curve in P-256 P-384 P-521; do
	openssl req -newkey ec -pkeyopt "ec_paramgen_curve:$curve" -nodes -keyout "$curve.key" -out "$curve.csr" -subj "/CN=$curve" 2>/dev/null
	openssl x509 -req -in "$curve.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$curve.pem" -extfile <(echo keyUsage=critical,nonRepudiation) 2>/dev/null
done
cat >main.py <<'PY'
from io import BytesIO
from pathlib import Path

import pyunderskrift
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
stores = pyunderskrift.TrustStoreSet()
stores.set_sig_store(pyunderskrift.TrustStore.from_pem_file("ca.pem"))
verifier = pyunderskrift.SignatureVerifier(stores)
for curve in "P-256", "P-384", "P-521":
    signer = signers.SimpleSigner.load(curve + ".key", curve + ".pem")
    for digest in "sha256", "sha384", "sha512":
        metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm=digest, subfilter=fields.SigSeedSubFilter.PADES)
        signed = signers.sign_pdf(IncrementalPdfFileWriter(plain), metadata, signer).getvalue()
        Path(f"{curve}, {digest}.pdf").write_bytes(signed)
        result = verifier.verify_pdf(signed).signatures[0]
        reason = str(result.cryptographic_validity).split(": ", 3)[-1]
        print(f"{curve}, {digest}, underskrift: {result.status}, digest {result.digest_matches}, {reason}")
PY
got=$(
	venv/bin/python main.py 2>/dev/null
	for name in P-*.pdf; do
		echo "${name%.pdf}, pdfsig: $(pdfsig -nocert "$name" 2>/dev/null | sed -n 's/^  - Signature Validation: //p')"
	done
)
want='P-256, sha256, underskrift: SignatureStatus.Valid, digest True, valid
P-256, sha384, underskrift: SignatureStatus.Invalid, digest True, P-521 key decode failed: unknown/unsupported algorithm OID: 1.3.132.0.35
P-256, sha512, underskrift: SignatureStatus.Invalid, digest True, P-384 key decode failed: unknown/unsupported algorithm OID: 1.3.132.0.34
P-384, sha256, underskrift: SignatureStatus.Invalid, digest True, P-521 key decode failed: unknown/unsupported algorithm OID: 1.3.132.0.35
P-384, sha384, underskrift: SignatureStatus.Valid, digest True, valid
P-384, sha512, underskrift: SignatureStatus.Invalid, digest True, ECDSA P-384 invalid: signature error
P-521, sha256, underskrift: SignatureStatus.Valid, digest True, valid
P-521, sha384, underskrift: SignatureStatus.Valid, digest True, valid
P-521, sha512, underskrift: SignatureStatus.Valid, digest True, valid
P-256, sha256, pdfsig: Signature is Valid.
P-256, sha384, pdfsig: Signature is Valid.
P-256, sha512, pdfsig: Signature is Valid.
P-384, sha256, pdfsig: Signature is Valid.
P-384, sha384, pdfsig: Signature is Valid.
P-384, sha512, pdfsig: Signature is Valid.
P-521, sha256, pdfsig: Signature is Valid.
P-521, sha384, pdfsig: Signature is Valid.
P-521, sha512, pdfsig: Signature is Valid.'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
