#!/usr/bin/env bash
# Key files that tpm2-tools writes for OpenSSL cannot be used there: wrong parent, and a password.
#
# Software:  tpm2-tools 5.4, tpm2-openssl 1.1.1 and swtpm 0.7.1, all of Debian 12; OpenSSL 3.0.
# Behaviour: tpm2_encodeobject writes a key as a "TSS2 PRIVATE KEY", the file that tpm2-openssl reads. If
#            the parent is what tpm2_createprimary makes by itself, the file says no more of it than
#            0x40000001, a primary key of the owner. tpm2-openssl makes the primary key of that handle by
#            another template, with noDA, and the TPM refuses the key: its integrity check fails (0x1df).
#            With that template, or with the parent at a persistent handle, OpenSSL asks for a pass
#            phrase: emptyAuth is FALSE, although the key has no password. Only the empty pass phrase
#            works. A key that OpenSSL makes itself has none of that.
# Surprise:  The tool exists for this purpose, both are of one project, and neither says anything when
#            the file is written. A service at the edge finds nobody to type a pass phrase.
# Needs:     bash, apt-get, OpenSSL 3; Debian 12's swtpm and tpm2-tools.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
server=
stop() {
	if [[ $server ]]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
apt-get -qq download tpm2-openssl=1.1.1-1 2>/dev/null
dpkg -x tpm2-openssl_*.deb .
modules=$(dirname "$(find . -name tpm2.so)")
mkdir state
swtpm socket --tpm2 --tpmstate dir=state --server type=unixio,path=tpm --ctrl type=unixio,path=tpm.ctrl --flags not-need-init,startup-clear </dev/null >swtpm.log 2>&1 &
server=$!
export TPM2TOOLS_TCTI=swtpm:path=$dir/tpm TPM2OPENSSL_TCTI=swtpm:path=$dir/tpm
for ((i = 0; ; i++)); do
	[[ ! -S tpm || ! -S tpm.ctrl ]] || break
	((i < 120)) || { cat swtpm.log; exit 1; }
	sleep 0.5
done
provider=(-provider-path "$modules" -provider tpm2 -provider default -propquery '?provider=tpm2')
printf document >document
# free removes what tpm2-tools leave in the TPM, as a resource manager would do.
free() {
	tpm2_flushcontext -t
	tpm2_flushcontext -l
}
# create PRIMARY NAME: makes a signing key without a password below the primary key.
create() {
	tpm2_create -Q -C "$1" -G ecc256:ecdsa -u "$2.pub" -r "$2.priv"
	free
}
# sign NAME [OPTION...]: signs with the file, and says what came of it.
sign() {
	local name=$1 result
	shift
	if openssl dgst "${provider[@]}" "$@" -sha256 -sign "$name.pem" -out signature document </dev/null >log 2>&1; then
		openssl pkey "${provider[@]}" "$@" -in "$name.pem" -pubout -out public.pem
		result=$(openssl dgst -sha256 -verify public.pem -signature signature document)
	else
		result=$(grep -o -m 1 '0x000001df\|Enter pass phrase' log)
	fi
	echo "$name${*:+, $*}: $result"
}
# describe NAME: what the file says of the password and the parent.
describe() {
	openssl asn1parse -in "$1.pem" | awk -v name="$1" -F: '/BOOLEAN/ { empty = $NF } /INTEGER/ { print name ": emptyAuth " empty ", parent " $NF }'
}
got=$(
	openssl genpkey "${provider[@]}" -algorithm EC -pkeyopt group:P-256 -out openssl.pem 2>/dev/null
	describe openssl
	sign openssl

	tpm2_createprimary -Q -C o -G ecc -c primary.ctx
	free
	create primary.ctx default
	tpm2_encodeobject -C primary.ctx -u default.pub -r default.priv -o default.pem
	free
	describe default
	sign default -passin pass:

	tpm2_createprimary -Q -C o -G ecc -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' -c noda.ctx
	free
	create noda.ctx noda
	tpm2_encodeobject -C noda.ctx -u noda.pub -r noda.priv -o noda.pem
	free
	describe noda
	sign noda
	sign noda -passin pass:

	tpm2_evictcontrol -Q -C o -c primary.ctx 0x81000001
	free
	create 0x81000001 persistent
	tpm2_encodeobject -C 0x81000001 -u persistent.pub -r persistent.priv -o persistent.pem
	free
	describe persistent
	sign persistent
	sign persistent -passin pass:
)
want='openssl: emptyAuth 1, parent 40000001
openssl: Verified OK
default: emptyAuth 0, parent 40000001
default, -passin pass:: 0x000001df
noda: emptyAuth 0, parent 40000001
noda: Enter pass phrase
noda, -passin pass:: Verified OK
persistent: emptyAuth 0, parent 81000001
persistent: Enter pass phrase
persistent, -passin pass:: Verified OK'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
