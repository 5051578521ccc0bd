#!/usr/bin/env bash
# GnuTLS reads no PIN from a "file:" URI, and gives the token a line break with the PIN.
#
# Software:  p11tool 3.7.9 (GnuTLS) with p11-kit 0.24.1, libengine-pkcs11-openssl 0.4.12 (libp11), OpenSSL 3.0
#            and SoftHSM 2.6.1, all of Debian 12; python-pkcs11 0.10.1, as published on PyPI.
# Behaviour: A PKCS #11 URI says by pin-source where the PIN is. With a plain path, p11tool reads it. With
#            "file:" before it, p11tool says "No PIN given": it takes all for the name of a file.
#            OpenSSL's engine reads both. If the file ends with a line break, as an editor and echo leave
#            it, both give the token the line break with the PIN. The token counts a wrong PIN, and sets
#            CKF_USER_PIN_COUNT_LOW.
# Surprise:  RFC 7512 section 2.4 has it the other way round: first, a value that is a URI, "file:" for
#            one, stands for an object that holds the PIN. A plain path is left to the implementation.
#            One file for both programs needs the path alone, and no line break. Who tries a few times
#            why it does not work has locked a token that counts.
# Needs:     bash, Python 3, and of Debian 12 gnutls-bin, openssl, softhsm2 and apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download libengine-pkcs11-openssl=0.4.12-0.1 2>/dev/null
dpkg-deb -x libengine-pkcs11-openssl_*.deb .
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check python-pkcs11==0.10.1
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf PKCS11_MODULE=/usr/lib/softhsm/libsofthsm2.so
softhsm2-util --init-token --free --label test --so-pin 1234 --pin 1234 >/dev/null
cat >openssl.cnf <<CNF
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = $dir/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so
MODULE_PATH = $PKCS11_MODULE
init = 0
CNF
cat >main.py <<'PY'
import sys
from os import environ

import pkcs11

token = pkcs11.lib(environ["PKCS11_MODULE"]).get_token(token_label="test")
if sys.argv[1] == "flag":
    print("a wrong PIN counted" if pkcs11.TokenFlag.USER_PIN_COUNT_LOW in token.flags else "none counted")
with token.open(user_pin="1234", rw=True) as session:  # a right PIN sets the counter back
    if sys.argv[1] == "make":
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="key")
PY
venv/bin/python main.py make
printf document >document
printf 1234 >pin
echo 1234 >line
got=$(
	for file in pin line; do
		for scheme in "" file:; do
			uri="pkcs11:token=test;object=key;type=private?pin-source=$scheme$dir/$file"
			what=$([[ $file == pin ]] && echo "without a line break" || echo "with a line break")
			said=$(p11tool --batch --provider "$PKCS11_MODULE" --login --list-all-privkeys "$uri" 2>&1 </dev/null | grep -o -m 1 'Object 0\|No PIN given\|Error in provided PIN' || true)
			echo "p11tool, ${scheme:-path}, $what: $said, $(venv/bin/python main.py flag)"
			said=$(OPENSSL_CONF=$dir/openssl.cnf openssl dgst -engine pkcs11 -keyform engine -sha256 -sign "$uri" -out signature document 2>&1 </dev/null | grep -o -m 1 'Login failed' || true)
			echo "engine, ${scheme:-path}, $what: ${said:-$(stat -c %s signature) octets}, $(venv/bin/python main.py flag)"
		done
	done
)
want='p11tool, path, without a line break: Object 0, none counted
engine, path, without a line break: 256 octets, none counted
p11tool, file:, without a line break: No PIN given, none counted
engine, file:, without a line break: 256 octets, none counted
p11tool, path, with a line break: Error in provided PIN, a wrong PIN counted
engine, path, with a line break: Login failed, a wrong PIN counted
p11tool, file:, with a line break: No PIN given, none counted
engine, file:, with a line break: Login failed, a wrong PIN counted'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
