#!/usr/bin/env bash
# gpgsm and certtool call good CMS signatures bad: by RSASSA-PSS, and gpgsm by P-521 too.
#
# Software:  gpgsm 2.2.40 (GnuPG) and certtool 3.7.9 (GnuTLS), both of Debian 12; OpenSSL 3.0 as the
#            signer.
# Behaviour: certtool verifies RSASSA-PSS with SHA-256 and a salt of 32 octets. With SHA-512 and 64
#            octets, or with SHA-256 and the longest salt, "Public key signature verification has failed":
#            what the CMS says of hash and salt is not used. gpgsm takes a salt that is as long as the
#            hash. With another one, which is what "openssl cms" chooses by itself, it is "Invalid digest
#            algorithm" and BADSIG. A signature by a key on P-521 is "Internal error" and BADSIG.
# Surprise:  Both verify RSASSA-PSS. BADSIG and "failed" are what a changed document gets, and not "this
#            is not supported". Length of the salt and hash are parameters that a verifier must read (RFC
#            4055 section 3.1). A pair of programs agrees until one side moves from SHA-256 to SHA-512.
# Needs:     bash, OpenSSL 3; Debian's gnutls-bin and gpgsm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'gpgconf --homedir "$dir/gnupg" --kill all 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >extensions <<'CNF'
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signer]
keyUsage = critical, digitalSignature, nonRepudiation
authorityKeyIdentifier = keyid
CNF
make_certificate() {
	openssl req -new -newkey "${@:2}" -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
}
make_certificate ca ec -pkeyopt ec_paramgen_curve:P-256
openssl x509 -req -in ca.csr -signkey ca.key -out ca.pem -days 2 -extfile extensions -extensions ca 2>/dev/null
make_certificate rsa rsa:2048
make_certificate p384 ec -pkeyopt ec_paramgen_curve:P-384
make_certificate p521 ec -pkeyopt ec_paramgen_curve:P-521
for name in rsa p384 p521; do
	openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$name.pem" -days 2 -extfile extensions -extensions signer 2>/dev/null
done
mkdir -m 700 gnupg
printf 'disable-crl-checks\n' >gnupg/gpgsm.conf
echo "$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | cut -d = -f 2) S relax" >gnupg/trustlist.txt
gpgsm --homedir gnupg --batch --quiet --import ca.pem 2>/dev/null
printf document >document
# show signs with the given options, and has three programs verify.
show() {
	local name=$1 key=$2
	shift 2
	openssl cms -sign -binary -nodetach -outform DER -in document -signer "$key.pem" -inkey "$key.key" "$@" -out cms
	echo "$name, OpenSSL: $(openssl cms -verify -inform DER -in cms -CAfile ca.pem -purpose any -out content 2>&1)"
	echo "$name, certtool: $(certtool --p7-verify --inder --load-ca-certificate ca.pem --infile cms 2>&1 | sed -n 's/.*Signature status: //p')"
	echo "$name, gpgsm: $(gpgsm --homedir gnupg --batch --status-fd 1 --verify cms 2>&1 | sed -nE 's/^gpgsm: (invalid signature: .*)/\1,/p; s/.*(GOODSIG|BADSIG).*/\1/p' | paste -sd ' ')"
}
pss=(-keyopt rsa_padding_mode:pss)
got=$(
	show "P-384, SHA-384" p384 -md sha384
	show "P-521, SHA-512" p521 -md sha512
	show "PSS, SHA-256, salt of 32" rsa -md sha256 "${pss[@]}" -keyopt rsa_pss_saltlen:32
	show "PSS, SHA-512, salt of 64" rsa -md sha512 "${pss[@]}" -keyopt rsa_pss_saltlen:64
	show "PSS, SHA-256, salt by default" rsa -md sha256 "${pss[@]}"
)
want='P-384, SHA-384, OpenSSL: CMS Verification successful
P-384, SHA-384, certtool: ok
P-384, SHA-384, gpgsm: GOODSIG
P-521, SHA-512, OpenSSL: CMS Verification successful
P-521, SHA-512, certtool: ok
P-521, SHA-512, gpgsm: invalid signature: Internal error, BADSIG
PSS, SHA-256, salt of 32, OpenSSL: CMS Verification successful
PSS, SHA-256, salt of 32, certtool: ok
PSS, SHA-256, salt of 32, gpgsm: GOODSIG
PSS, SHA-512, salt of 64, OpenSSL: CMS Verification successful
PSS, SHA-512, salt of 64, certtool: verification failed: Public key signature verification has failed.
PSS, SHA-512, salt of 64, gpgsm: GOODSIG
PSS, SHA-256, salt by default, OpenSSL: CMS Verification successful
PSS, SHA-256, salt by default, certtool: verification failed: Public key signature verification has failed.
PSS, SHA-256, salt by default, gpgsm: invalid signature: Invalid digest algorithm, BADSIG'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
