package tpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// rsaBits is the size of RSA keys that are made, in bits, as of those in files.
const rsaBits = 2048

// templateFor returns the template of a key for the JWS algorithm alg. The TPM makes it
// itself, and does not let it out. It does not count wrong authorization values for it
// (noDA), since a power cut counts as a wrong one.
func templateFor(alg string) (tpm2.TPMTPublic, error) {
	template := tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true,
		},
	}
	if alg == "RS256" {
		template.Type = tpm2.TPMAlgRSA
		template.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: rsaBits})
		return template, nil
	}
	for _, c := range curves {
		if c.alg == alg {
			template.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: c.id})
			return template, nil
		}
	}
	return tpm2.TPMTPublic{}, fmt.Errorf("cannot make a key for the algorithm '%.20s': use ES256, ES384, ES512 or RS256", alg)
}

// create makes a key under the primary key of the owner hierarchy.
func (d *device) create(tpm transport.TPM, template tpm2.TPMTPublic, auth tokenauth.Secret) (*fileKey, error) {
	session, end, err := d.session(tpm, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return nil, err
	}
	defer end()
	parent, err := d.primary(tpm, primary{hierarchy: tpm2.TPMRHOwner})
	if err != nil {
		return nil, err
	}
	defer unload(tpm, parent.Handle)
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: session},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte(auth.Reveal())},
		}},
		InPublic: tpm2.New2B(template),
	}.Execute(tpm)
	switch {
	case errors.Is(err, tpm2.TPMRCCurve), errors.Is(err, tpm2.TPMRCValue):
		return nil, fmt.Errorf("it cannot make keys for this algorithm (%w)", err)
	case err != nil:
		return nil, fmt.Errorf("making the key: %w", err)
	}
	return &fileKey{parent: tpm2.TPMRHOwner, public: made.OutPublic, private: made.OutPrivate}, nil
}

// create implements holder.
func (f *keyFile) create(ctx context.Context, d *device, template tpm2.TPMTPublic, auth tokenauth.Secret) error {
	exists := fmt.Errorf("%s exists already, and may be a key in use: name a file that does not exist", f.path)
	// This is before the TPM makes a key, which may take minutes.
	if _, err := os.Lstat(f.path); err == nil {
		return exists
	}
	if _, err := os.Stat(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	result := make(chan *fileKey, 1) // the call may go on when nobody waits any more
	err := d.do(ctx, func(tpm transport.TPM) error {
		made, err := d.create(tpm, template, auth)
		if err == nil {
			result <- made
		}
		return err
	})
	if err != nil {
		return err
	}
	text, err := (<-result).pem(auth.Empty())
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exists
	}
	if err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	_, err = file.Write(text)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.path) // the partial file would block the next attempt
		return fmt.Errorf("writing the key file: %w", err)
	}
	return nil
}
