package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	for code, want := range map[tpm2.TPMRC]string{
		tpm2.TPMRCLockout:        "unlocks itself with time",
		tpm2.TPMRCInitialize:     "--flags startup-clear",
		tpm2.TPMRCObjectMemory:   "tpm2_flushcontext --transient-object",
		tpm2.TPMRCSessionMemory:  "tpm2_flushcontext --loaded-session",
		tpm2.TPMRCSessionHandles: "tpm2_flushcontext --saved-session",
		tpm2.TPMRCFailure:        "restart the machine",
	} {
		err := explained(fmt.Errorf("signing: %w", code))
		if !strings.Contains(err.Error(), want) || !errors.Is(err, code) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	if err := explained(tpm2.TPMRCValue); err != tpm2.TPMRCValue {
		t.Errorf("error is %v", err)
	}
	for want, cause := range map[string]error{
		"DeviceAllow=/dev/tpmrm0 rw":       syscall.EPERM,  // by systemd
		"SupplementaryGroups=tss":          syscall.EACCES, // by its group
		"use /dev/tpmrm0":                  syscall.EBUSY,
		"other programs use /dev/tpmrm0":   syscall.EAGAIN,
		"nothing listens at /dev/tpmrm0":   syscall.ECONNREFUSED,
		"PrivateDevices":                   fs.ErrNotExist,
		"cannot be used: open /dev/tpmrm0": syscall.EMFILE,
	} {
		err := openError("/dev/tpmrm0", &os.PathError{Op: "open", Path: "/dev/tpmrm0", Err: cause})
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	err := openError("/tmp/tpm/socket", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if want := "this user may not connect to /tmp/tpm/socket"; !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "tss") {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// A TPM that nobody has started says so.
func TestTPMThatWasNotStarted(t *testing.T) {
	s := newSimulator(t)
	k := s.key(newDevice(s.socket), Key{File: s.path("key")})
	key := s.make(k, "ES256")
	s.stop()
	s.flags = "not-need-init"
	s.start()
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "it was not started (TPM2_Startup)") {
		t.Errorf("error is %v", err)
	}
}
