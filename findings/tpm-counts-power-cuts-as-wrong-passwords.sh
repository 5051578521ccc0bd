#!/usr/bin/env bash
# A TPM counts a power cut as a wrong password, and the third one locks the key.
#
# Software:  swtpm 0.7.1 with libtpms 0.9.2 (Debian 12), whose code is that of the TPM 2.0 reference
#            implementation; github.com/google/go-tpm v0.9.8 as the client.
# Behaviour: A key signs once after each start, always with the right password. Then the TPM loses its
#            power without a TPM2_Shutdown. At the next start the lockout counter is one higher. It
#            allows 3 failures: after three power cuts the key is refused with TPM_RC_LOCKOUT, for
#            1000 seconds for each. A key with the empty password is counted too. With the
#            attribute noDA, or with TPM2_Shutdown before, the counter stays at 0.
# Surprise:  Nobody gave a wrong password. The TPM cannot know that: somebody might cut the power to
#            hide a wrong one. A machine that is reset often locks the key of a service that does
#            everything right, and the error speaks of authorization.
# Needs:     bash, Go, swtpm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
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
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

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

// start starts the TPM whose state is in the directory, as a power-on does.
func start(state string) (*exec.Cmd, transport.TPMCloser) {
	socket := state + "/socket"
	_ = os.Remove(socket)
	swtpm := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := swtpm.Start(); err != nil {
		panic(err)
	}
	for range 250 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return swtpm, must(linuxudstpm.Open(socket))
}

func property(tpm transport.TPM, name tpm2.TPMPT) uint32 {
	res := must(tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(name), PropertyCount: 1}.Execute(tpm))
	return must(res.CapabilityData.Data.TPMProperties()).TPMProperty[0].Value
}

// sign signs once with the owner's primary key of this password.
func sign(tpm transport.TPM, password string, noDA bool) string {
	key := must(tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type:             tpm2.TPMAlgECC,
			NameAlg:          tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true, NoDA: noDA},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
				CurveID: tpm2.TPMECCNistP256,
				Scheme: tpm2.TPMTECCScheme{
					Scheme:  tpm2.TPMAlgECDSA,
					Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
				},
			}),
		}),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}},
	}.Execute(tpm))
	digest := sha256.Sum256([]byte("a client assertion"))
	_, err := tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth([]byte(password))},
		Digest:     tpm2.TPM2BDigest{Buffer: digest[:]},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(tpm)
	switch {
	case err == nil:
		return "signs"
	case errors.Is(err, tpm2.TPMRCLockout):
		return "TPM_RC_LOCKOUT"
	}
	return err.Error()
}

func main() {
	for _, one := range []struct {
		name, password string
		noDA, shutdown bool
	}{
		{name: "password", password: "right"},
		{name: "no password"},
		{name: "password, noDA", password: "right", noDA: true},
		{name: "password, TPM2_Shutdown", password: "right", shutdown: true},
	} {
		state := must(os.MkdirTemp(".", "tpm"))
		fmt.Printf("%s:", one.name)
		for i := range 4 {
			swtpm, tpm := start(state)
			if i == 0 && one.name == "password" {
				fmt.Printf(" (allowed %d, %d s for each)", property(tpm, tpm2.TPMPTMaxAuthFail), property(tpm, tpm2.TPMPTLockoutInterval))
			}
			fmt.Printf(" %d %s;", property(tpm, tpm2.TPMPTLockoutCounter), sign(tpm, one.password, one.noDA))
			if one.shutdown {
				must(tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(tpm))
			}
			tpm.Close()
			_ = swtpm.Process.Kill() // the power is gone
			_ = swtpm.Wait()
		}
		fmt.Println()
	}
}
GO
want='password: (allowed 3, 1000 s for each) 0 signs; 1 signs; 2 signs; 3 TPM_RC_LOCKOUT;
no password: 0 signs; 1 signs; 2 signs; 3 TPM_RC_LOCKOUT;
password, noDA: 0 signs; 0 signs; 0 signs; 0 signs;
password, TPM2_Shutdown: 0 signs; 0 signs; 0 signs; 0 signs;'
go mod tidy >/dev/null 2>&1
got=$(go run .)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
