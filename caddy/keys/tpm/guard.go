package tpm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Why a guard does not let an authorization value be tried.
var (
	errRefused = errors.New("it refuses the authorization value, which is not tried again until it changes")
	errNoAuth  = errors.New("the key needs an authorization value: give auth")
	errLast    = errors.New("one more wrong authorization value would lock it for all programs, so none is tried: look at the value of auth, or give it if the key has one, and wait until it has forgotten (tpm2_getcap properties-variable), or use a key with the attribute noda")
	errLocked  = errors.New("it is locked against the guessing of passwords, and unlocks itself with time (tpm2_getcap properties-variable)")
)

// A guard prevents that a wrong authorization value locks the TPM, which counts wrong ones
// for all keys together, such as that of an encrypted disk. A value that was refused is not
// tried again. If the key counts, no value is tried that would lock the TPM if it is wrong,
// so not even a process that is started over and over locks it.
type guard struct {
	refused  []tokenauth.Secret // since one was accepted
	accepted *tokenauth.Secret  // the last one that was right
}

// use calls try with an authorization value, unless that may lock the TPM. counts says that
// the key is subject to the TPM's protection against guessing (noDA is not set).
func (g *guard) use(tpm transport.TPM, counts bool, auth tokenauth.Secret, try func() error) error {
	if slices.ContainsFunc(g.refused, auth.Equal) {
		return refusal(auth)
	}
	if counts && (g.accepted == nil || !g.accepted.Equal(auth)) {
		if err := mayTry(tpm); err != nil {
			return err
		}
	}
	switch err := try(); {
	case isRefusal(err):
		g.refused, g.accepted = append(g.refused, auth), nil
		return refusal(auth)
	case err != nil:
		return err
	}
	g.refused, g.accepted = nil, &auth
	return nil
}

// refusal is the error if auth was refused.
func refusal(auth tokenauth.Secret) error {
	if auth.Empty() {
		return errNoAuth
	}
	return errRefused
}

// mayTry returns an error if a wrong authorization value would lock the TPM.
func mayTry(tpm transport.TPM) error {
	response, err := tpm2.GetCapability{
		Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 2,
	}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("reading how many wrong authorization values it has counted: %w", err)
	}
	properties, err := response.CapabilityData.Data.TPMProperties()
	if err != nil {
		return err
	}
	values := make(map[tpm2.TPMPT]uint32)
	for _, p := range properties.TPMProperty {
		values[p.Property] = p.Value
	}
	counted, allowed := values[tpm2.TPMPTLockoutCounter], values[tpm2.TPMPTMaxAuthFail]
	switch {
	case counted >= allowed:
		return errLocked
	case counted+1 >= allowed:
		return errLast
	}
	return nil
}

// maxAuth returns how long an authorization value of a key may be, in bytes.
func maxAuth(nameAlg tpm2.TPMIAlgHash) int {
	hash, err := nameAlg.Hash()
	if err != nil {
		return 0
	}
	return hash.Size()
}

// checkAuth returns an error if auth cannot be the authorization value of a key with the
// given hash function.
func checkAuth(auth tokenauth.Secret, nameAlg tpm2.TPMIAlgHash) error {
	value := auth.Reveal()
	if most := maxAuth(nameAlg); len(value) > most {
		return fmt.Errorf("the authorization value has %d bytes, and the key allows %d", len(value), most)
	}
	// go-tpm cuts the value at the first zero, and would prove another one.
	if slices.Contains([]byte(value), 0) {
		return errors.New("the authorization value has a zero byte, which is not supported")
	}
	return nil
}
