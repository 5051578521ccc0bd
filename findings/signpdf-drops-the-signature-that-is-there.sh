#!/usr/bin/env bash
# @signpdf takes the signature that a PDF has already out of its form, if pyHanko has made it.
#
# Software:  @signpdf/signpdf, @signpdf/utils and @signpdf/placeholder-plain 3.3.0 (of node-signpdf), as
#            published on npm; pyHanko 0.38.0, as published on PyPI; mutool 1.21 (mupdf-tools) of Debian
#            12.
# Behaviour: pyHanko signs a PDF. plainAddPlaceholder of @signpdf adds a second signature, and writes the
#            form anew with the field of that one alone. There is no error. pyHanko and mutool find one
#            signature then, the second, and call it good for the whole file. If @signpdf has made the
#            first one too, both are there. It looks for the form by the text "/Type /AcroForm", which
#            pyHanko does not write.
# Surprise:  A form has no entry Type (ISO 32000-1 section 12.7.2); the catalogue says where it is. The
#            octets of the first signature are still in the file, so the size says nothing, but the
#            contract has one party only.
# Needs:     bash, Node.js 20 or newer, npm, OpenSSL 3, Python 3; Debian's mupdf-tools.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @signpdf/signpdf@3.3.0 @signpdf/utils@3.3.0 @signpdf/placeholder-plain@3.3.0 </dev/null >/dev/null
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0
for name in first second; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.pem -days 2 -subj /CN=$name -addext keyUsage=critical,nonRepudiation 2>/dev/null
done
cat >plain.py <<'PY'
# Writes a document of one empty page, and has pyHanko sign it.
from pathlib import Path

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers

objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<<>>>>"]
pdf = "%PDF-1.7\n"
entries = ["0000000000 65535 f \n"]
for number, body in enumerate(objects, 1):
    entries.append(f"{len(pdf):010} 00000 n \n")
    pdf += f"{number} 0 obj\n{body}\nendobj\n"
pdf += f"xref\n0 4\n{''.join(entries)}trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n{len(pdf)}\n%%EOF\n"
Path("plain.pdf").write_text(pdf)

signer = signers.SimpleSigner.load("first.key", "first.pem")
metadata = signers.PdfSignatureMetadata(field_name="Signature1", subfilter=fields.SigSeedSubFilter.PADES)
with open("plain.pdf", "rb") as plain:
    signed = signers.sign_pdf(IncrementalPdfFileWriter(plain), metadata, signer)
Path("pyHanko.pdf").write_bytes(signed.getvalue())
PY
cat >sign.mjs <<'JS'
// sign.mjs KEY IN OUT has @signpdf add a signature, which OpenSSL makes.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { SignPdf } from '@signpdf/signpdf';
import { Signer } from '@signpdf/utils';
import { plainAddPlaceholder } from '@signpdf/placeholder-plain';

const [key, from, to] = process.argv.slice(2);
class OpenSSL extends Signer {
  async sign(content) {
    const options = `cms -sign -binary -outform DER -signer ${key}.pem -inkey ${key}.key`.split(' ');
    return execFileSync('openssl', options, { input: content, stdio: ['pipe', 'pipe', 'ignore'] });
  }
}
const pdf = plainAddPlaceholder({ pdfBuffer: readFileSync(from), reason: '', contactInfo: '', name: '', location: '' });
writeFileSync(to, await new SignPdf().sign(pdf, new OpenSSL()));
JS
cat >list.py <<'PY'
import sys

from pyhanko.pdf_utils.reader import PdfFileReader

with open(sys.argv[1], "rb") as file:
    reader = PdfFileReader(file)
    for signature in reader.embedded_signatures:
        print(signature.signer_cert.subject.native["common_name"], signature.evaluate_signature_coverage().name, end="; ")
PY
show() {
	echo "$1: pyHanko $(venv/bin/python -W ignore list.py "$1.pdf" 2>/dev/null | sed 's/; $//')"
	echo "$1: mutool $(mutool sign -v "$1.pdf" 2>/dev/null | grep -o 'cn=[a-z]*' | paste -sd ' ')"
}
got=$(
	venv/bin/python -W ignore plain.py 2>/dev/null
	show pyHanko
	node sign.mjs second pyHanko.pdf "pyHanko, then signpdf.pdf"
	show "pyHanko, then signpdf"
	node sign.mjs first plain.pdf signpdf.pdf
	node sign.mjs second signpdf.pdf "signpdf, then signpdf.pdf"
	show "signpdf, then signpdf"
)
want='pyHanko: pyHanko first ENTIRE_FILE
pyHanko: mutool cn=first
pyHanko, then signpdf: pyHanko second ENTIRE_FILE
pyHanko, then signpdf: mutool cn=second
signpdf, then signpdf: pyHanko first ENTIRE_REVISION; second ENTIRE_FILE
signpdf, then signpdf: mutool cn=first cn=second'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
