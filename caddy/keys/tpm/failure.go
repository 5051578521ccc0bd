package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// isRefusal reports whether err means that an authorization value is wrong.
func isRefusal(err error) bool {
	return errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth)
}

// explanations say what to do about some response codes of a TPM.
var explanations = []struct {
	code tpm2.TPMRC
	text string
}{
	{tpm2.TPMRCLockout, "it is locked against the guessing of passwords, and unlocks itself with time (tpm2_getcap properties-variable): a wrong value was given too often, or the machine lost its power while a key was in use that counts (noda is not set). Keys that keygen makes do not count"},
	{tpm2.TPMRCInitialize, "it was not started (TPM2_Startup): the firmware does that, and for swtpm its option --flags startup-clear"},
	{tpm2.TPMRCObjectMemory, "it has no room for the key: other programs, or a gateway that was killed, have left keys in it (tpm2_flushcontext --transient-object), or use " + defaultDevice},
	{tpm2.TPMRCObjectHandles, "it has no room for the key: other programs, or a gateway that was killed, have left keys in it (tpm2_flushcontext --transient-object), or use " + defaultDevice},
	{tpm2.TPMRCSessionMemory, "it has no room for a session: other programs, or a gateway that was killed, have left sessions in it (tpm2_flushcontext --loaded-session), or use " + defaultDevice},
	{tpm2.TPMRCSessionHandles, "it has no room for a session: other programs, or a gateway that was killed, have left sessions in it (tpm2_flushcontext --saved-session), or use " + defaultDevice},
	{tpm2.TPMRCFailure, "it has failed its self-test: restart the machine"},
}

// explained returns err with what to do about it.
func explained(err error) error {
	for _, e := range explanations {
		if errors.Is(err, e.code) {
			return fmt.Errorf("%s (%w)", e.text, err)
		}
	}
	return err
}
