package caddyesign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

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
			cmd.SetFlagErrorFunc(unchecked) // of all of them
			names := make([]string, len(cmd.Commands()))
			for i, sub := range cmd.Commands() {
				names[i] = sub.Name()
				valid := sub.Args
				sub.Args = func(cmd *cobra.Command, args []string) error { return unchecked(cmd, valid(cmd, args)) }
			}
			// Runnable, or an unknown command would print the help and succeed.
			cmd.DisableFlagsInUseLine = true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return nil
				}
				return unchecked(cmd, fmt.Errorf("unknown command '%s': must be one of %s", args[0], strings.Join(names, ", ")))
			}
		},
	})
}

// exitUnchecked is the exit status for wrong usage, or a configuration that
// cannot be loaded; for what else goes wrong, it is 1.
const exitUnchecked = 2

// unchecked makes err, if it is one, end the command with the status
// exitUnchecked. It prints err as cobra does: Caddy would log it, which in a pipe
// is JSON.
func unchecked(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	cmd.PrintErrln(cmd.ErrPrefix(), err.Error())
	cmd.SilenceErrors = true
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitUnchecked, nil })(cmd, nil)
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
			if out == "" {
				return unchecked(cmd, errors.New("--out is missing: name the file to write the private key to"))
			}
			key, err := tokenauth.GenerateKey(alg)
			if err != nil {
				return unchecked(cmd, err)
			}
			jwks, err := keygen(out, key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), jwks)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "The file to write the private key to, which must not exist (required)")
	cmd.Flags().StringVar(&alg, "alg", "ES256", "The algorithm to sign with: ES256 or RS256")
	return cmd
}

// keygen writes key to the new file out, and returns its JWKS.
func keygen(out string, key *tokenauth.Key) (string, error) {
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
		_ = os.Remove(out) // or half a key would be in the way of the next try
		return "", fmt.Errorf("writing the private key: %w", err)
	}
	return string(jwks), nil
}
