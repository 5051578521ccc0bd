#!/usr/bin/env bash
# @signpdf's extractSignature cuts the last octet of one signature in 256.
#
# Software:  @signpdf/signpdf, @signpdf/utils and @signpdf/placeholder-plain 3.3.0 (of node-signpdf),
#            as published on npm.
# Behaviour: In a PDF, a CMS is followed by zeros that fill the space reserved for it.
#            extractSignature takes all zeros at the end away, and not only what follows the length
#            that the CMS itself states. A CMS mostly ends with the value of the signature. If that
#            ends with a zero octet, the octet is lost, and OpenSSL calls the rest too short. The
#            PDF is right, and so is the CMS before it is embedded.
# Surprise:  The same document, key and program verify 255 times, and not the next time. A CMS with
#            indefinite lengths, as BankID's example data have it, ends with zeros always.
# Needs:     bash, Node.js 20 or newer, npm, OpenSSL 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @signpdf/signpdf@3.3.0 @signpdf/utils@3.3.0 @signpdf/placeholder-plain@3.3.0 </dev/null >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=Signer 2>/dev/null
cat >main.mjs <<'JS'
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { SignPdf } from '@signpdf/signpdf';
import { Signer, extractSignature } from '@signpdf/utils';
import { plainAddPlaceholder } from '@signpdf/placeholder-plain';

// pdf is a document of one empty page, with its cross-reference table.
const objects = ['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[3 0 R]/Count 1>>', '<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>'];
let pdf = '%PDF-1.7\n';
const offsets = objects.map((object, i) => {
  const at = pdf.length;
  pdf += `${i + 1} 0 obj\n${object}\nendobj\n`;
  return `${String(at).padStart(10, '0')} 00000 n \n`;
});
pdf += `xref\n0 4\n0000000000 65535 f \n${offsets.join('')}trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n${pdf.length}\n%%EOF\n`;

// OpenSSL makes a CMS without its content.
class OpenSSL extends Signer {
  async sign(content) {
    const arguments_ = 'cms -sign -binary -outform DER -signer cert.pem -inkey key.pem'.split(' ');
    this.cms = execFileSync('openssl', arguments_, { input: content, stdio: ['pipe', 'pipe', 'ignore'] });
    return this.cms;
  }
}

const verifies = (cms, content) => {
  writeFileSync('cms', cms);
  writeFileSync('content', content);
  const openssl = spawnSync('openssl', 'cms -verify -binary -inform DER -in cms -content content -CAfile cert.pem -purpose any -out verified'.split(' '));
  return openssl.status === 0;
};

const signer = new OpenSSL();
const prepared = plainAddPlaceholder({ pdfBuffer: Buffer.from(pdf), reason: '', contactInfo: '', name: '', location: '' });
const show = (what, signed) => {
  const { signature, signedData } = extractSignature(signed);
  const extracted = Buffer.from(signature, 'binary');
  console.log(`${what}: octets lost ${signer.cms.length - extracted.length}, verifies before ${verifies(signer.cms, signedData)}, after ${verifies(extracted, signedData)}`);
};
// Each signature of ECDSA is another one.
let signed;
do signed = await new SignPdf().sign(prepared, signer); while (signer.cms.at(-1) === 0);
show('last octet another than 0', signed);
do signed = await new SignPdf().sign(prepared, signer); while (signer.cms.at(-1) !== 0 || signer.cms.at(-2) === 0);
show('last octet 0', signed);
JS
want='last octet another than 0: octets lost 0, verifies before true, after true
last octet 0: octets lost 1, verifies before true, after false'
got=$(node main.mjs)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
