package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

const (
	// keygenWait is how long a module may take to make a key. Some smart cards take a minute
	// for RSA.
	keygenWait = 5 * time.Minute

	// existingWait is how long a module may take to find a key and to sign once.
	existingWait = 30 * time.Second
)

// keygenInModule makes a key in the module called name, or only reads it if it is an
// existing key, and prints its JWKS. args are options of the module and their values. The
// error is for cmd to return.
func keygenInModule(cmd *cobra.Command, name, alg string, existing bool, args []string) error {
	flags := cmd.Flags()
	switch {
	case flags.Changed("out") || flags.Changed("public"):
		return unchecked(cmd, errors.New("--key excludes --out and --public: it is for a key that is not in a file"))
	case existing && flags.Changed("alg"):
		return unchecked(cmd, errors.New("--existing excludes --alg: an existing key has its algorithm"))
	case len(args)%2 != 0:
		return unchecked(cmd, fmt.Errorf("after --key %s, each option needs a value, as in the Caddyfile", name))
	}
	outer, err := caddy.ProvisionContext(&caddy.Config{
		// The error of a key that does not sign is printed, and need not be in a log too.
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "FATAL"}}}},
	})
	if err != nil {
		return unchecked(cmd, err)
	}
	ctx, cancel := caddy.NewContext(outer)
	defer cancel()
	holder, err := loadHolder(ctx, name, args)
	if err != nil {
		return unchecked(cmd, err)
	}
	wait := keygenWait
	if existing {
		wait = existingWait
	}
	limited, done := context.WithTimeout(cmd.Context(), wait)
	defer done()
	var key *tokenauth.Key
	if existing {
		key, err = holder.Key(limited, "")
	} else if maker, ok := holder.(KeyMaker); ok {
		key, err = maker.MakeKey(limited, alg)
	} else {
		return unchecked(cmd, fmt.Errorf("the module %s cannot make keys", name))
	}
	if err == nil {
		err = key.Try(limited) // before it is registered
		if err != nil && !existing {
			err = fmt.Errorf("the key is made, but does not sign; when it does, --existing prints its JWKS: %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", holder, err)
	}
	jwks, err := jwksOf(key)
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), jwks)
	}
	return err
}

// loadHolder loads the module called name with the given options.
func loadHolder(ctx caddy.Context, name string, options []string) (KeyHolder, error) {
	if _, err := caddy.GetModule(keysNamespace + "." + name); err != nil {
		return nil, errors.New(unknownHolder(name))
	}
	const file = "arguments" // so that errors say where they come from
	tokens := []caddyfile.Token{{File: file, Line: 1, Text: name}, {File: file, Line: 1, Text: "{"}}
	line := 1
	for option := range slices.Chunk(options, 2) {
		line++
		tokens = append(tokens, caddyfile.Token{File: file, Line: line, Text: option[0]}, caddyfile.Token{File: file, Line: line, Text: option[1]})
	}
	tokens = append(tokens, caddyfile.Token{File: file, Line: line + 1, Text: "}"})
	d := caddyfile.NewDispenser(tokens)
	d.Next()
	holder, err := unmarshalHolder(d, name)
	if err != nil {
		return nil, err
	}
	client := Client{PrivateKeyRaw: caddyconfig.JSONModuleObject(holder, "module", name, nil)}
	if err := client.loadKeys(ctx); err != nil {
		return nil, err
	}
	return client.privateKey, nil
}
