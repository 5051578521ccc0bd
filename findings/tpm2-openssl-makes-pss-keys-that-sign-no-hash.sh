#!/usr/bin/env bash
# An RSA-PSS key that tpm2-openssl makes signs nothing but what the TPM itself has hashed.
#
# Software:  tpm2-openssl 1.1.1, OpenSSL 3.0, tpm2-tools 5.4 and swtpm 0.7.1, of Debian 12.
# Behaviour: "openssl genpkey -algorithm RSA" in a TPM makes a key with sign and decrypt, which signs
#            any hash. "-algorithm RSA-PSS" makes one with the attribute restricted. The TPM refuses a
#            hash from outside (TPM_RC_TICKET). It must see the message itself.
# Surprise:  A program for JWS, CMS or TLS that hashes for itself, as most do, cannot use the key, and
#            OpenSSL's manual has nothing about a difference between keys for RSA and for RSA-PSS but
#            the padding.
# Needs:     bash, and of Debian 12 openssl, swtpm, tpm2-tools and apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${swtpm-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download tpm2-openssl=1.1.1-1 2>/dev/null
dpkg-deb -x tpm2-openssl_*.deb .
modules=$dir/usr/lib/x86_64-linux-gnu/ossl-modules
mkdir state
port=$((20000 + RANDOM % 5000 * 2))
swtpm socket --tpm2 --tpmstate dir=state --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" --flags not-need-init,startup-clear &
swtpm=$!
export TPM2TOOLS_TCTI=swtpm:port=$port TPM2OPENSSL_TCTI=swtpm:port=$port TSS2_LOG=all+NONE
until tpm2_getrandom --hex 1 >/dev/null 2>&1; do sleep 0.1; done
printf document >document
openssl dgst -sha256 -binary -out hash document
# There is no resource manager, so each program leaves keys in the TPM.
tpm() {
	local command=$1
	shift
	tpm2_flushcontext --transient-object
	openssl "$command" -provider-path "$modules" -provider tpm2 -provider default -propquery '?provider=tpm2' "$@"
}
pss=(-pkeyopt rsa_padding_mode:pss -pkeyopt digest:sha256)
got=$(
	for algorithm in RSA RSA-PSS; do
		option=()
		[[ $algorithm == RSA ]] || option=(-pkeyopt digest:SHA256)
		tpm genpkey -algorithm "$algorithm" -pkeyopt bits:2048 "${option[@]}" -out key.pem 2>/dev/null
		# The public area is behind its size, its type and the hash of its name.
		attributes=$(openssl asn1parse -in key.pem | sed -n -E '0,/HEX DUMP/s/.*HEX DUMP\]:.{12}(.{8}).*/\1/p')
		((16#$attributes & 1 << 16)) && kind=restricted || kind="not restricted"
		echo "$algorithm: $kind"
		tpm dgst -sha256 -sigopt rsa_padding_mode:pss -sign key.pem -out signature document 2>/dev/null && echo "  signs a document"
		tpm pkeyutl -sign "${pss[@]}" -inkey key.pem -in hash -out signature 2>log && echo "  signs a hash" || echo "  a hash: $(grep -o -m 1 'invalid ticket' log)"
	done
)
want="RSA: not restricted
  signs a document
  signs a hash
RSA-PSS: restricted
  signs a document
  a hash: invalid ticket"
echo "$got"
[[ $got == "$want" ]] || { cat log >&2; echo "this has changed" >&2; exit 1; }
