package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// sandboxCommand returns the command that serves the simulated BankID alone.
func sandboxCommand() *cobra.Command {
	var listen, b2bKeys string
	var settings SandboxSettings
	var clients sandboxClients
	cmd := &cobra.Command{
		Use:   "sandbox [--listen <address>] [--issuer <url>] [--client id=<id> [--secret-file <file>] [--jwks <file>] [--dpop]]... [--b2b-jwks <file>] [--<setting> <value>]...",
		Short: "Serves a simulated BankID, without a gateway",
		Long: `
Serves the simulated BankID for tests, until it gets SIGINT or SIGTERM: BankID
OIDC and the eSign APIs, below one address. It prints what it serves, and the
credentials of its clients, which are published and guard nothing.

It asks for no token before it lets a test play the signer or inject faults, so
it listens on loopback addresses only. With port 0 the system chooses one.

Besides its own clients, it knows those of --client. What comes after one, until
the next, describes it: its secret, its public keys, and whether it needs DPoP,
as clients for B2B do. A client that does not form-encode its credentials before
it puts them into a Basic header (RFC 6749, section 2.3.1) needs a secret of
letters and digits, which those of the sandbox are not.

The other flags are settings of the sandbox. With "_" instead of "-", they are
those of "sandbox" in the global option.`,
		Args: noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal then ends it at once
			address, err := loopbackAddress(listen)
			if err != nil {
				return unchecked(cmd, err)
			}
			if err := settings.validate(); err != nil {
				return unchecked(cmd, err)
			}
			settings.options.Clients = clients
			if b2bKeys != "" {
				b2b := sandbox.Client{ID: sandbox.B2BClientID, Secret: sandbox.B2BClientSecret, DPoPRequired: true}
				if b2b.Keys, err = readKeys(b2bKeys); err != nil {
					return unchecked(cmd, err)
				}
				settings.options.Clients = append(settings.options.Clients, b2b)
			}
			return runSandbox(ctx, cmd, address, settings.options)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", sandbox.Address, "The loopback address to listen on")
	cmd.Flags().StringVar(&b2bKeys, "b2b-jwks", "", "The `file` with the public keys to register for the built-in B2B client: a JWKS, as 'caddy bankid-esign keygen' prints one, or a JWK")
	cmd.Flags().StringVar(&settings.options.Issuer, "issuer", "", "The issuer identifier, at whose origin clients reach the sandbox (default: at the address, by http)")
	clients.addFlags(cmd)
	settings.addFlags(cmd)
	return cmd
}

// sandboxClients are the clients of the flag --client and of the flags that describe the
// client before them.
type sandboxClients []sandbox.Client

// addFlags adds the flags to cmd.
func (c *sandboxClients) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("client", "A client of your own, as `id=<id>`; can be given several times", func(text string) error {
		id, ok := strings.CutPrefix(text, "id=")
		if !ok || id == "" {
			return errors.New("must be id=<id>")
		}
		if id == sandbox.ClientID || id == sandbox.B2BClientID {
			return fmt.Errorf("%s is a client that the sandbox has: choose another id; PUT /sandbox/jwks registers keys for that one", id)
		}
		*c = append(*c, sandbox.Client{ID: id})
		return nil
	})
	flags.Func("secret-file", "The `file` with the secret of the --client before it", c.describe(func(client *sandbox.Client, file string) error {
		if client.Secret != "" {
			return fmt.Errorf("client %s has a secret already", client.ID)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		secret := strings.TrimRight(string(text), "\r\n")
		switch {
		case secret == "":
			return fmt.Errorf("%s is empty", file)
		case strings.ContainsAny(secret, "\r\n"):
			return fmt.Errorf("%s has more than one line", file)
		}
		client.Secret = secret
		return nil
	}))
	flags.Func("jwks", "The `file` with the public keys of the --client before it: a JWKS or a JWK", c.describe(func(client *sandbox.Client, file string) (err error) {
		if len(client.Keys.Keys) > 0 {
			return fmt.Errorf("client %s has keys already", client.ID)
		}
		client.Keys, err = readKeys(file)
		return err
	}))
	flags.BoolFunc("dpop", "The --client before it is one for B2B: its tokens are bound to a key", c.describe(func(client *sandbox.Client, text string) (err error) {
		client.DPoPRequired, err = strconv.ParseBool(text)
		return err
	}))
}

// describe returns a function for a flag that describes the client before it.
func (c *sandboxClients) describe(set func(client *sandbox.Client, value string) error) func(string) error {
	return func(value string) error {
		if len(*c) == 0 {
			return errors.New("must come after the --client that it describes")
		}
		return set(&(*c)[len(*c)-1], value)
	}
}

// readKeys reads public keys from a file.
func readKeys(file string) (jose.JSONWebKeySet, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("reading the public keys: %w", err)
	}
	keys, err := sandbox.ParseKeys(text)
	if err != nil {
		return keys, fmt.Errorf("%s is not a JWKS, as 'caddy bankid-esign keygen' prints one: %w", file, err)
	}
	return keys, nil
}

// runSandbox serves the sandbox at address until ctx is done. If options name no
// issuer, the issuer is at that address. Its error is for cmd to return.
func runSandbox(ctx context.Context, cmd *cobra.Command, address *net.TCPAddr, options sandbox.Options) error {
	ln, err := net.ListenTCP("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%v is in use already, perhaps by a gateway with environment sandbox, which serves it too: end that, or choose another address, such as --listen 127.0.0.1:0 for any free port", address)
	}
	if err != nil {
		return err
	}
	defer ln.Close()
	if options.Issuer == "" {
		if options.Issuer, err = sandboxIssuer(ln.Addr()); err != nil {
			return err
		}
	}
	server, err := newSandboxServer(options)
	if err != nil {
		return unchecked(cmd, err) // the flags are wrong
	}
	server.serving = server.serveAt(ln)
	if err := printSandbox(cmd.OutOrStdout(), ln.Addr(), options); err != nil {
		return errors.Join(err, server.Destruct())
	}
	select {
	case <-ctx.Done():
	case <-server.serving:
		err = errors.New("the sandbox cannot accept connections any more")
	}
	return errors.Join(err, server.Destruct())
}

// printSandbox prints what a sandbox serves at an address. It does not print the secrets of
// the developer's own clients: they may be those of another environment.
func printSandbox(out io.Writer, address net.Addr, options sandbox.Options) error {
	text := new(strings.Builder)
	line := func(name, value string) { fmt.Fprintf(text, "%-20s%s\n", name, value) }
	fmt.Fprintf(text, "BankID eSign SANDBOX on %v, for tests only: nothing that it signs proves anything.\n\n", address)
	line("issuer", options.Issuer)
	known := map[string]sandbox.Client{
		sandbox.ClientID:    {Secret: sandbox.ClientSecret},
		sandbox.B2BClientID: {Secret: sandbox.B2BClientSecret},
	}
	var own []sandbox.Client
	for _, client := range options.Clients {
		if builtin, ok := known[client.ID]; ok && client.Secret == builtin.Secret {
			known[client.ID] = client // with keys
			continue
		}
		delete(known, client.ID)
		own = append(own, client)
	}
	if client, ok := known[sandbox.ClientID]; ok {
		line("client", sandbox.ClientID)
		line("client secret", client.Secret)
	}
	if client, ok := known[sandbox.B2BClientID]; ok {
		line("B2B client", sandbox.B2BClientID+" (DPoP)")
		line("B2B client secret", client.Secret)
		if len(client.Keys.Keys) > 0 {
			line("B2B client keys", keyIDs(client.Keys))
		}
	}
	for _, client := range own {
		id := client.ID
		if client.DPoPRequired {
			id += " (DPoP)"
		}
		line("client of your own", id)
		if len(client.Keys.Keys) > 0 {
			line("its keys", keyIDs(client.Keys))
		}
	}
	line("code verifier", sandbox.CodeVerifier+", of CSC codes that start with sandbox-")
	line("faults", "POST, GET, DELETE /sandbox/faults")
	line("signer", "POST /sandbox/orders?sign_id=…")
	line("persons", "GET /sandbox/persons")
	line("keys", "PUT /sandbox/jwks?client_id=…")
	line("certificate", "GET /sandbox/ca.pem")
	_, err := io.WriteString(out, text.String())
	return err
}

// keyIDs returns the kid of each key.
func keyIDs(keys jose.JSONWebKeySet) string {
	ids := make([]string, len(keys.Keys))
	for i, key := range keys.Keys {
		ids[i] = key.KeyID
	}
	return strings.Join(ids, " ")
}

// loopbackAddress parses an address that only this machine can connect to.
func loopbackAddress(listen string) (*net.TCPAddr, error) {
	address, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q must be a host and a port such as %s: %v", listen, sandbox.Address, err)
	}
	if !address.IP.IsLoopback() {
		return nil, fmt.Errorf("listen address %q is not a loopback address such as %s: everybody who can reach the sandbox controls it", listen, sandbox.Address)
	}
	return address, nil
}

// sandboxIssuer returns the default issuer, moved to another address.
func sandboxIssuer(address net.Addr) (string, error) {
	issuer, err := url.Parse(bankid.Sandbox.Issuer)
	if err != nil {
		return "", err
	}
	issuer.Host = address.String()
	return issuer.String(), nil
}
