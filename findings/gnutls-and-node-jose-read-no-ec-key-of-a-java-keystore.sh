#!/usr/bin/env bash
# GnuTLS, node-jose and others read no EC key out of a Java keystore, and "openssl pkey" does not mend it.
#
# Software:  keytool of Java 17 (tried with OpenJDK 17.0.15), OpenSSL 3.0, certtool 3.7.9 (GnuTLS) and rnbyc 1.1.7
#            with librhonabwy 1.1.11, all of Debian 12; node-jose 2.2.0, eckles 1.4.1, ec-key 0.0.6 and jose
#            6.2.18, as published on npm.
# Behaviour: keytool makes an EC key in a PKCS #12 file, and "openssl pkcs12" takes it out as PEM. Java leaves the
#            public half out of the private key, and OpenSSL keeps it so. jose computes it. certtool says "Element
#            was not found", rnbyc "Error jwk_file", node-jose "no importer for key", eckles "unrecognized key
#            format", and ec-key has a TypeError. "openssl pkey" and "openssl pkcs8" write what they have
#            read. "openssl ec" adds the public half, and all of them read the key.
# Surprise:  The public half should be there (RFC 5915 section 3), but is optional, and follows from the private
#            one. The errors sound like a damaged file or a wrong password, while OpenSSL signs with the key.
#            And one expects that OpenSSL's commands write the same key in the same way.
# Needs:     bash, Java 17, Node.js 20 or newer, npm, and of Debian 12 gnutls-bin, libcurl3-gnutls, libjansson4,
#            openssl and apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download rnbyc=1.1.11-1 librhonabwy1.1=1.1.11-1 liborcania2.3=2.3.2-1 libyder2.0=1.4.19-1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
npm install --silent --no-audit --no-fund node-jose@2.2.0 eckles@1.4.1 ec-key@0.0.6 jose@6.2.18 </dev/null >/dev/null
cat >main.mjs <<'JS'
import { readFileSync } from 'node:fs';

import ECKey from 'ec-key';
import Eckles from 'eckles';
import * as jose from 'jose';
import nodeJose from 'node-jose';

const pem = readFileSync(process.argv[2], 'utf8');
const readers = {
  jose: async () => jose.exportJWK(await jose.importPKCS8(pem, 'ES256', { extractable: true })),
  'node-jose': async () => (await nodeJose.JWK.asKey(pem, 'pem')).toJSON(),
  eckles: () => Eckles.import({ pem }),
  'ec-key': () => new ECKey(pem, 'pem').toJSON(),
};
for (const [name, read] of Object.entries(readers)) {
  try {
    console.log(`  ${name}: ${(await read()).crv}`);
  } catch (error) {
    console.log(`  ${name}: ${error instanceof TypeError ? 'TypeError' : error.message}`);
  }
}
JS
store=(-storetype PKCS12 -storepass password)
keytool -genkeypair -alias key -keyalg EC -groupname secp256r1 -dname CN=key -keystore store.p12 "${store[@]}" >/dev/null 2>&1
openssl pkcs12 -in store.p12 -passin pass:password -nocerts -nodes 2>/dev/null | sed -n '/BEGIN/,$p' >pkcs12.pem
openssl pkey -in pkcs12.pem -out pkey.pem
openssl pkcs8 -topk8 -nocrypt -in pkcs12.pem -out pkcs8.pem
openssl ec -in pkcs12.pem -out ec.pem 2>/dev/null
openssl pkcs8 -topk8 -nocrypt -in ec.pem -out ec,pkcs8.pem
printf document >document
got=$(
	for command in pkcs12 pkey pkcs8 ec,pkcs8; do
		file=$command.pem
		echo "openssl ${command/,/ and }:"
		openssl dgst -sha256 -sign "$file" -out signature document && echo "  openssl: signs"
		said=$(certtool --key-info --infile "$file" 2>&1 | grep -o -m 1 'Element was not found\|SECP256R1' || true)
		echo "  certtool: ${said/SECP256R1/P-256}"
		said=$(LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu usr/bin/rnbyc -j -f "$file" 2>&1 | grep -o -m 1 'Error jwk_file\|P-256' || true)
		echo "  rnbyc: $said"
		node main.mjs "$file"
	done
)
want='openssl pkcs12:
  openssl: signs
  certtool: Element was not found
  rnbyc: Error jwk_file
  jose: P-256
  node-jose: no importer for key
  eckles: unrecognized key format
  ec-key: TypeError
openssl pkey:
  openssl: signs
  certtool: Element was not found
  rnbyc: Error jwk_file
  jose: P-256
  node-jose: no importer for key
  eckles: unrecognized key format
  ec-key: TypeError
openssl pkcs8:
  openssl: signs
  certtool: Element was not found
  rnbyc: Error jwk_file
  jose: P-256
  node-jose: no importer for key
  eckles: unrecognized key format
  ec-key: TypeError
openssl ec and pkcs8:
  openssl: signs
  certtool: P-256
  rnbyc: P-256
  jose: P-256
  node-jose: P-256
  eckles: P-256
  ec-key: P-256'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
