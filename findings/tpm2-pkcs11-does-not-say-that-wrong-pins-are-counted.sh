#!/usr/bin/env bash
# tpm2-pkcs11 does not say that a wrong PIN was given, and its third one locks the whole TPM.
#
# Software:  tpm2-pkcs11 1.9.0, tpm2-tools 5.4, swtpm 0.7.1 and pkcs11-tool 0.23.0 (OpenSC), of Debian 12.
# Behaviour: PKCS #11 has flags of a token for that a wrong PIN was given (CKF_USER_PIN_COUNT_LOW), for
#            the last try and for a locked PIN. SoftHSM and opencryptoki set the first one.
#            tpm2-pkcs11 sets none, not even when C_Login answers CKR_PIN_LOCKED. The PIN is the
#            password of an object in the TPM, which the TPM counts.
# Surprise:  A program that looks at the flags, so as not to lock a token when it is started over and
#            over, does not get a warning. What is locked then is not the token, but the TPM, for
#            all objects with passwords that count, such as that of an encrypted disk.
# Needs:     bash, and of Debian 12 swtpm, tpm2-tools, libsqlite3-0, libyaml-0-2, and apt-get with a list of packages.
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
got=$(
	for pin in 111111 222222 333333 123456; do
		answer=$(tool --login --pin "$pin" --list-objects | grep -o -m 1 'CKR_[A-Z_]*' || echo in)
		flags=$(tool --list-token-slots | grep -A 9 'label *: test' | sed -n 's/.*token flags *: //p')
		echo "$pin: $answer; flags: $flags"
	done
	tpm2_getcap properties-variable | grep -o 'inLockout: *1'
)
want="111111: CKR_PIN_INCORRECT; flags: login required, rng, token initialized, PIN initialized
222222: CKR_PIN_INCORRECT; flags: login required, rng, token initialized, PIN initialized
333333: CKR_PIN_INCORRECT; flags: login required, rng, token initialized, PIN initialized
123456: CKR_PIN_LOCKED; flags: login required, rng, token initialized, PIN initialized
inLockout:                 1"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
