#!/usr/bin/env bash
# SoftHSM hashes and signs with RSA keys, and with EC keys it only signs what is hashed already.
#
# Software:  SoftHSM 2.6.1 and pkcs11-tool 0.23 (OpenSC), of Debian 12; python-pkcs11 0.10.1, as published
#            on PyPI.
# Behaviour: The token has CKM_SHA256_RSA_PKCS for RSA, and of ECDSA nothing but CKM_ECDSA, which takes a
#            hash. key.sign(document) of python-pkcs11 works with an RSA key, and raises MechanismInvalid,
#            without a text, with an EC key: its own default is CKM_ECDSA_SHA512. "pkcs11-tool --mechanism
#            ECDSA-SHA256" has CKR_MECHANISM_INVALID. Hashed by the caller, with CKM_ECDSA, it works.
# Surprise:  PKCS #11 has CKM_ECDSA_SHA256 since 2.40, and SoftHSM is what one tests with in place of a
#            real HSM. A program that signs in production fails in its test, or one that hashes by
#            itself is written because of the test.
# Needs:     bash, Python 3; Debian 12's softhsm2 and opensc.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check python-pkcs11==0.10.1
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf PKCS11_MODULE=/usr/lib/softhsm/libsofthsm2.so
softhsm2-util --init-token --free --label test --so-pin 1234 --pin 1234 >/dev/null
tool=(pkcs11-tool --module "$PKCS11_MODULE" --token-label test --login --pin 1234)
"${tool[@]}" --keypairgen --key-type EC:prime256v1 --label EC --id 01 --usage-sign >/dev/null 2>&1
"${tool[@]}" --keypairgen --key-type rsa:2048 --label RSA --id 02 --usage-sign >/dev/null 2>&1
printf document >document
cat >main.py <<'PY'
from hashlib import sha256
from os import environ

import pkcs11

token = pkcs11.lib(environ["PKCS11_MODULE"]).get_token(token_label="test")
with token.open(user_pin="1234") as session:
    for label, what, data, options in (
        ("RSA", "a document", b"document", {}),
        ("EC", "a document", b"document", {}),
        ("EC", "a hash, with CKM_ECDSA", sha256(b"document").digest(), {"mechanism": pkcs11.Mechanism.ECDSA}),
    ):
        key = session.get_key(label=label, object_class=pkcs11.ObjectClass.PRIVATE_KEY)
        try:
            result = f"{len(key.sign(data, **options))} octets"
        except pkcs11.PKCS11Error as error:
            result = f"{type(error).__name__}: {str(error)!r}"
        print(f"python-pkcs11, {label}, {what}: {result}")
PY
got=$(
	venv/bin/python main.py
	for mechanism in SHA256-RSA-PKCS:02 ECDSA-SHA256:01; do
		"${tool[@]}" --sign --mechanism "${mechanism%:*}" --id "${mechanism#*:}" --input-file document --output-file signature >log 2>&1 && result="$(wc -c <signature) octets" || result=$(grep -o -m 1 'CKR_[A-Z_]*' log)
		echo "pkcs11-tool, ${mechanism%:*}: $result"
	done
)
want="python-pkcs11, RSA, a document: 256 octets
python-pkcs11, EC, a document: MechanismInvalid: ''
python-pkcs11, EC, a hash, with CKM_ECDSA: 64 octets
pkcs11-tool, SHA256-RSA-PKCS: 256 octets
pkcs11-tool, ECDSA-SHA256: CKR_MECHANISM_INVALID"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
