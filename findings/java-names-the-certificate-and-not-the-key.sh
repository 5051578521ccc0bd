#!/usr/bin/env bash
# Java's keytool gives a key in an HSM no label and no public key: its certificate has both.
#
# Software:  keytool of OpenJDK 17 (SunPKCS11), SoftHSM 2.6.1 and pkcs11-tool 0.23.0 (OpenSC), of Debian 12.
# Behaviour: "keytool -genkeypair -alias seal" leaves on the token a private key without a CKA_LABEL, whose
#            CKA_ID are the letters of the alias, and a certificate with the label "seal". There is no
#            object for the public key.
# Surprise:  keytool lists the entry as "seal", and no other program finds a private key with this
#            label. For an EC key it does not help to know the id: the private half does not have the
#            point, so a program that looks for CKO_PUBLIC_KEY finds nothing to verify with or to register.
# Needs:     bash, Java 17, and of Debian 12 softhsm2 and apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download opensc=0.23.0-0.3+deb12u2 opensc-pkcs11=0.23.0-0.3+deb12u2 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
tool=$dir/usr/bin/pkcs11-tool
export LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu
softhsm=/usr/lib/softhsm/libsofthsm2.so
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf
softhsm2-util --init-token --free --label test --so-pin 1234 --pin 1234 >/dev/null
slot=$(softhsm2-util --show-slots | sed -n 's/^Slot //p' | sort -rn | head -n 1)
printf 'name = test\nlibrary = %s\nslot = %s\n' "$softhsm" "$slot" >java.cfg
keytool=(keytool -keystore NONE -storetype PKCS11 -providerClass sun.security.pkcs11.SunPKCS11 -providerArg java.cfg -storepass 1234)
"${keytool[@]}" -genkeypair -alias seal -keyalg EC -groupname secp256r1 -dname CN=seal >/dev/null 2>&1
got=$(
	"${keytool[@]}" -list 2>/dev/null | sed -n 's/^\(seal\), .*\(PrivateKeyEntry\).*/keytool: \1 is a \2/p'
	for type in privkey pubkey cert; do
		echo "$type:"
		"$tool" --module "$softhsm" --token-label test --login --pin 1234 --list-objects --type "$type" 2>/dev/null |
			sed -n -E 's/^ +(label|ID): *(.*)/  \1 "\2"/p'
	done
)
want='keytool: seal is a PrivateKeyEntry
privkey:
  label ""
  ID "7365616c"
pubkey:
cert:
  label "seal"
  ID "7365616c"'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
