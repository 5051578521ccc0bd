package caddyesign

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "bankid-esign",
		Usage: "<command>",
		Short: "Tools for the BankID eSign gateway",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(checkCommand(), statusCommand(), refreshCommand(),
				keygenCommand(), sandboxCommand(), versionCommand())
		},
	})
}

// keygenCommand makes a key for private_key_jwt or DPoP.
func keygenCommand() *cobra.Command {
	var out, alg string
	cmd := &cobra.Command{
		Use:   "keygen --out <file> [--alg ES256|RS256]",
		Short: "Makes a private key and prints its public JWKS",
		Long: `
Makes a private key for private_key_jwt (or for dpop_key), writes it to a new
file that only its owner can read, and prints the public key as a JWKS, which is
what BankID's support asks for to register the key of a client.

The kid is the thumbprint of the key (RFC 7638), which the gateway uses too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			jwks, err := keygen(out, alg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), jwks)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "The file to write the private key to, which must not exist (required)")
	cmd.Flags().StringVar(&alg, "alg", "ES256", "The algorithm to sign with: ES256 or RS256")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// keygen makes a key, writes it to the new file out, and returns its JWKS.
func keygen(out, alg string) (string, error) {
	key, err := tokenauth.GenerateKey(alg)
	if err != nil {
		return "", err
	}
	private, err := key.PrivatePEM()
	if err != nil {
		return "", err
	}
	public, err := key.Public()
	if err != nil {
		return "", err
	}
	jwks, err := json.MarshalIndent(map[string]any{"keys": []json.RawMessage{public}}, "", "  ")
	if err != nil {
		return "", err
	}
	// An existing file may be a key in use, or readable by others.
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("writing the private key: %w", err)
	}
	_, err = file.WriteString(private.Reveal())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(out) // or half a key would be in the way of the next try
		return "", fmt.Errorf("writing the private key: %w", err)
	}
	return string(jwks), nil
}
