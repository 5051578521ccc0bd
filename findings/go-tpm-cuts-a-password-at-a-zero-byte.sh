#!/usr/bin/env bash
# go-tpm cuts a password at a zero byte, and the TPM refuses the right password.
#
# Software:  github.com/google/go-tpm v0.9.8, with swtpm 0.7.1 and libtpms 0.9.2 (Debian 12).
# Behaviour: Zeros at the end of a password do not count in an HMAC session (TPM 2.0 Library Part 1,
#            section 19.6.5). go-tpm removes them, but goes on to the first zero of all: of "a\0b" it
#            uses "a". PasswordAuth sends the whole password, and works.
# Surprise:  About one random password of 32 bytes in nine has such a zero. It works in one kind
#            of session and not in the other, and for a key without noDA each use counts as a
#            wrong password, until the TPM is locked.
# Needs:     bash, Go, swtpm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${swtpm-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/google/go-tpm v0.9.8
MOD
cat >main.go <<'GO'
package main

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// sign signs with a new key of this password.
func sign(tpm transport.TPM, password []byte, session tpm2.Session) error {
	key := must(tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type:             tpm2.TPMAlgECC,
			NameAlg:          tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true, NoDA: true},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
				CurveID: tpm2.TPMECCNistP256,
				Scheme: tpm2.TPMTECCScheme{
					Scheme:  tpm2.TPMAlgECDSA,
					Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
				},
			}),
		}),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: password}}},
	}.Execute(tpm))
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(tpm)
	digest := sha256.Sum256([]byte("a client assertion"))
	_, err := tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: session},
		Digest:     tpm2.TPM2BDigest{Buffer: digest[:]},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(tpm)
	return err
}

func main() {
	tpm := must(linuxudstpm.Open(os.Args[1]))
	for _, password := range []string{"ab", "ab\x00", "a\x00b"} {
		p := []byte(password)
		fmt.Printf("%q as password: %v\n", password, sign(tpm, p, tpm2.PasswordAuth(p)))
		fmt.Printf("%q in an HMAC session: %v\n", password, sign(tpm, p, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(p))))
	}
}
GO
go mod tidy >/dev/null 2>&1
mkdir state
swtpm socket --tpm2 --tpmstate dir=state --server type=unixio,path=state/socket --flags not-need-init,startup-clear 2>/dev/null &
swtpm=$!
until [[ -S state/socket ]]; do sleep 0.1; done
got=$(go run . state/socket)
want='"ab" as password: <nil>
"ab" in an HMAC session: <nil>
"ab\x00" as password: <nil>
"ab\x00" in an HMAC session: <nil>
"a\x00b" as password: <nil>
"a\x00b" in an HMAC session: TPM_RC_BAD_AUTH (session 1): authorization failure without DA implications'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
