package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// sandboxCommand returns the command that serves the simulated BankID alone.
func sandboxCommand() *cobra.Command {
	var listen, issuer, b2bKeys string
	cmd := &cobra.Command{
		Use:   "sandbox [--listen <address>] [--issuer <url>] [--b2b-jwks <file>]",
		Short: "Serves a simulated BankID, without a gateway",
		Long: `
Serves the simulated BankID for tests, until it gets SIGINT or SIGTERM: BankID
OIDC and the eSign APIs, below one address. It prints what it serves, and the
credentials of its clients, which are published and protect nothing.

A test needs no token to act as the signer or to inject faults. So the sandbox
listens on loopback addresses only. With port 0, the system chooses a port.`,
		Args: noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal then ends it at once
			address, err := loopbackAddress(listen)
			if err != nil {
				return unchecked(cmd, err)
			}
			options := sandbox.Options{Issuer: issuer}
			if b2bKeys != "" {
				if options.Clients, err = b2bClient(b2bKeys); err != nil {
					return unchecked(cmd, err)
				}
			}
			return runSandbox(ctx, cmd, address, options)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", sandbox.Address, "The loopback address to listen on")
	cmd.Flags().StringVar(&b2bKeys, "b2b-jwks", "", "The file with the public keys to register for the B2B client, as 'caddy bankid-esign keygen' prints them")
	cmd.Flags().StringVar(&issuer, "issuer", "", "The issuer identifier, at whose origin clients reach the sandbox (default: at the address, by http)")
	return cmd
}

// b2bClient returns a B2B client with the public keys in file.
func b2bClient(file string) ([]sandbox.Client, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the public keys: %w", err)
	}
	client := sandbox.Client{ID: sandbox.B2BClientID, Secret: sandbox.B2BClientSecret, DPoPRequired: true}
	if err := json.Unmarshal(raw, &client.Keys); err != nil || len(client.Keys.Keys) == 0 {
		return nil, fmt.Errorf("%s is not a JWKS, as 'caddy bankid-esign keygen' prints one", file)
	}
	return []sandbox.Client{client}, nil
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
	keys := ""
	for _, client := range options.Clients {
		for _, key := range client.Keys.Keys {
			keys += " " + key.KeyID
		}
	}
	if keys != "" {
		keys = "B2B client keys    " + keys + "\n"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `BankID eSign SANDBOX on %v, for tests only: nothing that it signs proves anything.

issuer              %s
client              %s
client secret       %s
B2B client          %s (DPoP)
B2B client secret   %s
%sfaults              POST, GET, DELETE /sandbox/faults
signer              POST /sandbox/orders?sign_id=…
certificate         GET /sandbox/ca.pem
`, ln.Addr(), options.Issuer, sandbox.ClientID, sandbox.ClientSecret, sandbox.B2BClientID, sandbox.B2BClientSecret, keys)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-server.serving:
			err = errors.New("the sandbox cannot accept connections any more")
		}
	}
	return errors.Join(err, server.Destruct())
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
