#!/usr/bin/env bash
# tpm2-pkcs11 makes a key on P-521, and then cannot sign with it, nor give its public key in DER.
#
# Software:  tpm2-pkcs11 1.9.0, tpm2-tools 5.4, swtpm 0.7.1 and pkcs11-tool 0.23.0 (OpenSC), of Debian 12.
# Behaviour: C_GenerateKeyPair succeeds on P-256, P-384 and P-521. Of a key on P-521, CKA_EC_POINT begins
#            with 04 85 and a point of 133 octets. In DER, the length of these takes two octets, 81 85, and
#            85 alone means that five octets with the length follow. The module cannot read that
#            itself: C_SignInit answers CKR_HOST_MEMORY.
# Surprise:  A key that was made without an error, and may be registered, never signs, and the reason
#            that is given is that the machine has no memory.
# Needs:     bash, and of Debian 12 openssl, swtpm, tpm2-tools, libsqlite3-0, libyaml-0-2, and apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${swtpm-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download libtpm2-pkcs11-1=1.9.0-0.1+deb12u1 opensc=0.23.0-0.3+deb12u2 opensc-pkcs11=0.23.0-0.3+deb12u2 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
export LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu
mkdir state store
port=$((20000 + RANDOM % 5000 * 2))
swtpm socket --tpm2 --tpmstate dir=state --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" --flags not-need-init,startup-clear &
swtpm=$!
export TPM2TOOLS_TCTI=swtpm:port=$port TPM2_PKCS11_TCTI=swtpm:port=$port TPM2_PKCS11_STORE=$dir/store TPM2_PKCS11_LOG_LEVEL=0 TSS2_LOG=all+NONE
until tpm2_getrandom --hex 1 >/dev/null 2>&1; do sleep 0.1; done
# There is no resource manager, so each program leaves keys and sessions in the TPM.
tool() {
	usr/bin/pkcs11-tool --module "$LD_LIBRARY_PATH/libtpm2_pkcs11.so.1" --token-label test "$@" 2>&1 || true
	tpm2_flushcontext --transient-object
	tpm2_flushcontext --loaded-session
}
usr/bin/pkcs11-tool --module "$LD_LIBRARY_PATH/libtpm2_pkcs11.so.1" --init-token --label test --so-pin 12345678 >/dev/null 2>&1
tpm2_flushcontext --transient-object
tpm2_flushcontext --loaded-session
tool --login --login-type so --so-pin 12345678 --init-pin --pin 123456 >/dev/null
openssl rand -out digest 32
got=$(
	for curve in secp256r1 secp384r1 secp521r1; do
		tool --login --pin 123456 --keypairgen --key-type "EC:$curve" --label "$curve" --id "${curve:4:2}" >made
		echo "$curve: $(grep -c '^Private Key' made) key, point $(sed -n -E 's/.*EC_POINT: +(.{6}).*/\1/p' made)"
		tool --login --pin 123456 --sign --mechanism ECDSA --id "${curve:4:2}" --input-file digest --output-file signature >log
		echo "  signature: $(grep -o -m 1 'CKR_[A-Z_]*' log || echo "$(wc -c <signature) octets")"
	done
)
want="secp256r1: 1 key, point 044104
  signature: 64 octets
secp384r1: 1 key, point 046104
  signature: 96 octets
secp521r1: 1 key, point 048504
  signature: CKR_HOST_MEMORY"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
