#!/usr/bin/env bash
# tpm2_encodeobject writes that a key has no password if it has one, and the reverse.
#
# Software:  tpm2-tools 5.4 with tpm2-tss 3.2.1 and swtpm 0.7.1 (Debian 12).
# Behaviour: The file TSS2 PRIVATE KEY has a field emptyAuth, which is TRUE if the key needs no
#            password (draft-bottomley-tpm2-keys). The option -p ("indicates if an
#            authorization value is needed") sets it to TRUE, and without -p it is FALSE. The TRUE
#            is a 1, which DER does not allow: it must be 255.
# Surprise:  A program that believes the file asks for a password that does not exist, or uses an
#            empty one, which the TPM counts as a wrong one. Go's encoding/asn1 refuses the file of a
#            key with a password as a whole.
# Needs:     bash, Go, openssl, swtpm, tpm2-tools.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${swtpm-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	var key struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       bool `asn1:"optional,explicit,tag:0"`
		Parent          int64
		Public, Private []byte
	}
	_, err = asn1.Unmarshal(block.Bytes, &key)
	fmt.Println("encoding/asn1:", err)
}
GO
mkdir state
port=$((20000 + RANDOM % 10000 * 2))
swtpm socket --tpm2 --tpmstate dir=state --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" --flags not-need-init,startup-clear &
swtpm=$!
export TPM2TOOLS_TCTI=swtpm:port=$port
until tpm2_getrandom --hex 1 >/dev/null 2>&1; do sleep 0.1; done
flush() {
	tpm2_flushcontext --transient-object
	tpm2_flushcontext --loaded-session
}
tpm2_createprimary -Q -C o -G ecc -c primary
tpm2_evictcontrol -Q -C o -c primary 0x81000001
got=$(for password in '' right; do
	flush
	tpm2_create -Q -C 0x81000001 -G ecc256 ${password:+-p "$password"} -u public -r private
	tpm2_encodeobject -C 0x81000001 -u public -r private ${password:+-p} -o key.pem
	echo "password '$password': emptyAuth $(openssl asn1parse -in key.pem | sed -n 's/.*BOOLEAN *:/:/p')"
	go run . key.pem
done)
want="password '': emptyAuth :0
encoding/asn1: <nil>
password 'right': emptyAuth :1
encoding/asn1: asn1: syntax error: invalid boolean"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
