#!/usr/bin/env bash
# SoftHSM2 does not see a token that comes back, nor a new one, until it is initialized again.
#
# Software:  SoftHSM2 2.6.1 (Debian 12), by github.com/miekg/pkcs11 v1.1.2.
# Behaviour: A process has initialized the module. The folder of a token goes away, as with a volume
#            that is not mounted, and C_GetTokenInfo returns CKR_GENERAL_ERROR for its slot. When the
#            folder is back, it still does. A token that another process makes meanwhile has no slot.
#            After C_Finalize and C_Initialize, both are there.
# Surprise:  The module notices at once that a token goes away, and PKCS#11 v2.40 has C_GetSlotList with
#            a null pointer look for changes. So a program that lists the slots again, as one does for
#            a smart card, seems to be right, and waits for ever.
# Needs:     bash, Go, a C compiler, softhsm2.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf
softhsm2-util --init-token --free --label first --pin 1234 --so-pin 5678 >/dev/null
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/miekg/pkcs11 v1.1.2
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	module := pkcs11.New("/usr/lib/softhsm/libsofthsm2.so")
	if err := module.Initialize(); err != nil {
		panic(err)
	}
	tokens := func(when string) {
		var found []string // in no certain order
		for _, slot := range must(module.GetSlotList(true)) {
			info, err := module.GetTokenInfo(slot)
			if err != nil {
				found = append(found, fmt.Sprintf("(%v)", err))
				continue
			}
			if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
				info.Label = "not initialized"
			}
			found = append(found, fmt.Sprintf("(%s)", info.Label))
		}
		slices.Sort(found)
		fmt.Printf("%s: %s\n", when, strings.Join(found, " "))
	}
	tokens("at first")
	folder := must(filepath.Glob("tokens/*"))[0]
	must(0, os.Rename(folder, "away"))
	tokens("first is away")
	must(0, os.Rename("away", folder))
	tokens("first is back")
	must(exec.Command("softhsm2-util", "--init-token", "--free", "--label", "second", "--pin", "1234", "--so-pin", "5678").Output())
	tokens("second is new")
	must(0, module.Finalize())
	must(0, module.Initialize())
	tokens("initialized again")
}
GO
want='at first: (first) (not initialized)
first is away: (not initialized) (pkcs11: 0x5: CKR_GENERAL_ERROR)
first is back: (not initialized) (pkcs11: 0x5: CKR_GENERAL_ERROR)
second is new: (not initialized) (pkcs11: 0x5: CKR_GENERAL_ERROR)
initialized again: (first) (not initialized) (second)'
go mod tidy >/dev/null 2>&1
got=$(CGO_ENABLED=1 go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
