package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// keygenCommand returns the command that makes a key for private_key_jwt or DPoP.
func keygenCommand() *cobra.Command {
	var out, alg, file, module string
	var existing bool
	cmd := &cobra.Command{
		Use:   "keygen --out <file> [--alg ES256|RS256] | --public <file> | --key <module> [--existing] <option> <value>...",
		Short: "Makes a private key and prints its public JWKS",
		Long: `
Makes a private key for private_key_jwt (or for dpop_key), writes it to a new
file that only its owner can read, and prints the public key as a JWKS. BankID's
support asks for that JWKS to register the key of a client.

With --public, it makes no key, and prints the public JWKS of an existing private
key (PEM or JWK).

With --key, a module makes the key in hardware: pkcs11 for an HSM, tpm for a TPM, if this
Caddy has that module. The arguments are options of the module and their values, as in the
Caddyfile, such as

	keygen --key pkcs11 module /usr/lib/softhsm/libsofthsm2.so token seals label seal pin {file./run/secrets/pin}
	keygen --key tpm key /etc/esign-gateway/seal.tpm

With --existing, it makes no key in hardware, and prints the public JWKS of the key that
is there. A private key in hardware is never printed.

The kid is that of the JWK, or else the thumbprint of the key (RFC 7638), as in the
gateway. A key_id in the configuration replaces it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if module != "" {
				return nil
			}
			return noArguments("use --out to name the file for a new key")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if module != "" {
				return keygenInModule(cmd, module, alg, existing, args)
			}
			if err := checkKeygenFlags(cmd); err != nil {
				return unchecked(cmd, err)
			}
			var jwks string
			var err error
			if file != "" {
				jwks, err = publicJWKS(file)
			} else {
				var key *tokenauth.Key
				if key, err = tokenauth.GenerateKey(alg); err != nil {
					return unchecked(cmd, err)
				}
				jwks, err = keygen(out, key)
			}
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), jwks)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "The file to write the private key to, which must not exist")
	cmd.Flags().StringVar(&alg, "alg", "ES256", "The algorithm to sign with: ES256 or RS256, or with --key, also ES384 or ES512")
	cmd.Flags().StringVar(&module, "key", "", "The module that makes the key, such as pkcs11 or tpm, instead of a file")
	cmd.Flags().BoolVar(&existing, "existing", false, "With --key, print the public JWKS of the key that is there, instead of making one")
	cmd.Flags().StringVar(&file, "public", "", "The file of a private key whose public JWKS to print, instead of making one")
	return cmd
}

// checkKeygenFlags returns an error if flags of keygen are missing or exclude each
// other.
func checkKeygenFlags(cmd *cobra.Command) error {
	flags := cmd.Flags()
	out, file := flags.Lookup("out"), flags.Lookup("public")
	switch {
	case flags.Changed("existing"):
		return errors.New("--existing needs --key: for a key in a file, use --public")
	case file.Changed && file.Value.String() == "":
		return errors.New("--public is empty: name the file of a private key")
	case file.Changed && out.Changed:
		return errors.New("--public and --out exclude each other: one is for an existing key, the other for a new key")
	case file.Changed && flags.Changed("alg"):
		return errors.New("--alg needs --out: an existing key has its algorithm")
	case !file.Changed && out.Value.String() == "":
		return errors.New("--out is missing: name the file to write the private key to")
	}
	return nil
}

// keygen writes key to the new file out, and returns its JWKS.
func keygen(out string, key *tokenauth.Key) (string, error) {
	private, err := key.PrivatePEM()
	if err != nil {
		return "", err
	}
	jwks, err := jwksOf(key)
	if err != nil {
		return "", err
	}
	// An existing file may be a key in use, or readable by others.
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s exists already, and may be a key in use: name a file that does not exist", out)
	}
	if err != nil {
		return "", fmt.Errorf("writing the private key: %w", err)
	}
	_, err = file.WriteString(private.Reveal())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(out) // the partial file would block the next attempt
		return "", fmt.Errorf("writing the private key: %w", err)
	}
	return jwks, nil
}

// publicJWKS returns the public half of the private key in file, as a JWKS.
func publicJWKS(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the private key: %w", err)
	}
	key, err := tokenauth.ParseKey(tokenauth.NewSecret(string(raw)), "")
	if err != nil {
		return "", fmt.Errorf("%s is not a usable private key: %w", file, err)
	}
	return jwksOf(key)
}

// jwksOf returns the public half of key, as a JWKS.
func jwksOf(key *tokenauth.Key) (string, error) {
	public, err := key.Public()
	if err != nil {
		return "", err
	}
	jwks, err := json.MarshalIndent(map[string]any{"keys": []json.RawMessage{public}}, "", "  ")
	return string(jwks), err
}
