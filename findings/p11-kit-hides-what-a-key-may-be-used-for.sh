#!/usr/bin/env bash
# p11-kit's remoting says that the device is broken, when one asks what mechanisms a key is for.
#
# Software:  p11-kit 0.24.1, SoftHSM 2.6.1 and pkcs11-tool 0.23 (OpenSC), all of Debian 12.
# Behaviour: A key is made with CKA_ALLOWED_MECHANISMS. The token names them, if it is asked directly. By "p11-kit
#            server" and p11-kit-client.so, C_GetAttributeValue for that attribute returns CKR_DEVICE_ERROR. The
#            session goes on, other attributes can be read, and the key signs. The attribute can be set this way.
#            Of a key without it, nothing fails.
# Surprise:  CKR_DEVICE_ERROR means "some problem with the token": a careful program gives up the session, logs in
#            again, or waits. None of that helps, for the device is well. An attribute that cannot be given has
#            other errors, which are not true errors (CKR_ATTRIBUTE_TYPE_INVALID). One suspects the HSM, since
#            keys without the restriction work by the same socket.
# Needs:     bash; Debian 12's opensc, openssl, p11-kit, p11-kit-modules and softhsm2.
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
softhsm=/usr/lib/softhsm/libsofthsm2.so
client=/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf P11_KIT_SERVER_ADDRESS=unix:path=$dir/socket
softhsm2-util --init-token --free --label test --so-pin 1234 --pin 1234 >/dev/null
p11-kit server --foreground --provider "$softhsm" --name "$dir/socket" pkcs11:token=test >/dev/null 2>&1 &
server=$!
for ((i = 0; i < 100; i++)); do
	[[ ! -S socket ]] || break
	sleep 0.1
done
# tool MODULE ARGUMENTS...
tool() {
	pkcs11-tool --module "$1" --token-label test --login --pin 1234 "${@:2}" 2>&1
}
# make MODULE ID ARGUMENTS... makes a key.
make() {
	tool "$1" --keypairgen --key-type EC:prime256v1 --label key --id "$2" --usage-sign "${@:3}" >/dev/null
}
make "$softhsm" 01
make "$softhsm" 02 --allowed-mechanisms ECDSA
make "$client" 03 --allowed-mechanisms ECDSA
printf document | openssl dgst -sha256 -binary -out hash
got=$(
	for module in "$softhsm" "$client"; do
		[[ $module == "$softhsm" ]] && name=directly || name="by p11-kit"
		tool "$module" --list-objects --type privkey >log
		echo "$name: $(grep -c '^Private Key' log) keys, $(grep -c '^ *Allowed mechanisms: ECDSA$' log) with mechanisms"
		grep '^warning' log | sort | uniq -c | sed -E "s/^ +/$name: /"
		for id in 01 02 03; do
			tool "$module" --sign --mechanism ECDSA --id "$id" --input-file hash --output-file signature >log &&
				result="$(stat -c %s signature) octets" || result=$(grep -o -m 1 'CKR_[A-Z_]*' log)
			echo "$name: key $id signs: $result"
			rm -f signature
		done
	done
)
want='directly: 3 keys, 2 with mechanisms
directly: key 01 signs: 64 octets
directly: key 02 signs: 64 octets
directly: key 03 signs: 64 octets
by p11-kit: 3 keys, 0 with mechanisms
by p11-kit: 2 warning: PKCS11 function C_GetAttributeValue(ALLOWED_MECHANISMS) failed: rv = CKR_DEVICE_ERROR (0x30)
by p11-kit: key 01 signs: 64 octets
by p11-kit: key 02 signs: 64 octets
by p11-kit: key 03 signs: 64 octets'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
