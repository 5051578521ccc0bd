#!/usr/bin/env bash
# endesive signs and verifies nothing where OpenSSL's third number has two digits.
#
# Software:  endesive 3.0.1 (of October 2026) with oscrypto 1.3.0 and certvalidator 0.11.1, as published
#            on PyPI; OpenSSL 3.0 of the system (tried with 3.0.22 of Debian 12).
# Behaviour: "from endesive import pdf" fails: "Error detecting the version of libcrypto". oscrypto,
#            which comes by way of certvalidator, asks the system's OpenSSL for its version, and knows
#            numbers such as 3.0.9 only. 3.0.10 and all later ones of 3.0 are none for it. So it is for
#            signing, too, which needs no validation of certificates. cryptography, with which endesive
#            signs, has an OpenSSL of its own and works.
# Surprise:  The program worked until a security update of the system, which changed nothing but that
#            number. The error speaks of a library that cannot be found, and the newest release of each
#            package is installed.
# Needs:     bash, Python 3; an OpenSSL 3 from 3.0.10 on whose third number has two digits.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check endesive==3.0.1 oscrypto==1.3.0 certvalidator==0.11.1 asn1crypto==1.5.1
cat >main.py <<'PY'
import ctypes
import importlib
from ctypes.util import find_library

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

version = ctypes.CDLL(find_library("crypto")).OpenSSL_version
version.restype = ctypes.c_char_p
number = version(0).decode().split()[1]
print("third number of the system's OpenSSL:", "two digits" if len(number.split(".")[2]) == 2 else f"one digit ({number})")
for module in "endesive.pdf", "endesive.xades", "endesive.verifier":
    try:
        importlib.import_module(module)
        print(f"{module}: imported")
    except Exception as error:
        print(f"{module}: {type(error).__module__}.{type(error).__name__}: {error}")
key = ec.generate_private_key(ec.SECP256R1())
signature = key.sign(b"document", ec.ECDSA(hashes.SHA256()))
key.public_key().verify(signature, b"document", ec.ECDSA(hashes.SHA256()))
print("cryptography: signed and verified")
PY
want="third number of the system's OpenSSL: two digits
endesive.pdf: oscrypto.errors.LibraryNotFoundError: Error detecting the version of libcrypto
endesive.xades: imported
endesive.verifier: oscrypto.errors.LibraryNotFoundError: Error detecting the version of libcrypto
cryptography: signed and verified"
got=$(venv/bin/python main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
