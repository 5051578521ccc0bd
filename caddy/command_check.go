package caddyesign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// checkFlags are the flags of the check command.
type checkFlags struct {
	config, adapter          string
	environment, issuer      string
	clientID, secretFile     string
	keyFile, keyID, audience string
	authMethod               string
	scopes                   []string
	insecure, dpop, json     bool
	storage                  bool
}

// checkCommand returns the command that tests the clients of a configuration, or one
// client.
func checkCommand() *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check [--config <path> [--adapter <name>] [--storage] | (--environment <name> | --issuer <url> [--insecure-http-issuer]) --client-id <id> (--secret-file <path> | --key-file <path>)] [--envfile <path>] [--json]",
		Short: "Tries to obtain every access token that the gateway needs",
		Long: `
Tries what the gateway does before its first call: reads the configuration of the
OpenID provider, and asks for an access token for every set of scopes. It prints
what it found, and a hint at the likely mistake if that failed. It throws the
tokens away, and prints no secret.

With --config, it checks the clients of a configuration, with the scopes that its
handlers and transports need. The default configuration is the Caddyfile in the
current directory. The check starts no server, and can run beside one.

If the provider's configuration cannot be read, it still checks whether the
credentials can be read. If a client was refused, it does not try further scopes,
because that could lock the client out.

If a client that is used shares its tokens (share_tokens), it also tries the
storage, without the probes that take long. With --storage, it tries the storage
alone, with all probes, even if no tokens are shared. It does not use the OpenID
provider then. It loads two instances of the storage, and tries

	- whether both can read what one of them writes,
	- what the storage returns for a missing key, and after a context has ended,
	- how long reads and writes take, and locking a free lock,
	- whether one instance waits for the lock of the other,
	- whether a lock is kept while its holder is busy for 20 seconds,
	- when a lock is released after its holder, another process, was killed.

The verdict is fit, slow (it works, but costs time or token requests) or unfit
(each gateway asks for its own tokens). The check deletes what it has stored, even
if it is interrupted. It takes about five minutes at most. Run it as the user that
runs the gateway.

With --environment or --issuer, it checks one client, given by its identifier and
its secret or private key in a file. It asks for each --scope in a request of its
own. The default scopes are those of all APIs; with --dpop, the scope of b2b, and
tokens that are bound to a key. With --environment sandbox, it checks the sandbox's
own client, and the sandbox must be running ('caddy bankid-esign sandbox', or a
gateway).

With --envfile, it adds the variables of a file to the environment, as 'caddy run'
does. Proxies are those of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).

The exit status is 0 if everything works, 1 if something does not, and 2 if
nothing could be checked: for wrong usage, or a configuration that cannot be
loaded.

With --json, it prints one JSON object. Its members keep their meaning; new members
may be added:

	ok                      whether everything works
	environment, issuer     of the OpenID provider
	token_endpoint          the URL of the token endpoint
	error, hint             why the provider's configuration could not be read
	esign_baseurl           the URL of the APIs, as given by the provider
	esign_baseurl_differs   whether calls go elsewhere
	clock_skew_seconds      by how much the provider's clock is ahead; null if it
	                        does not tell its time
	clients                 array, by name:
	  name                  "default" for the default client
	  credentials           only if the provider's configuration could not be read:
	    ok                  whether they can be read
	    client_id, key      the client identifier; whether there is a private key
	    error, hint         why not, or what looks wrong
	  keys                  array, only if modules hold keys:
	    ok, name, place     whether it has signed; private_key or dpop_key; where it is
	    kid, error          its kid; why it has not signed
	  tokens                array, one for each set of scopes:
	    ok, skipped         whether all scopes were granted; whether it was not tried,
	                        because the provider's configuration could not be read,
	                        or the client was refused before
	    scopes, granted_scopes, missing_scopes
	    bound               whether it is bound to a key (DPoP)
	    client_id, auth_method, assertion_alg, assertion_kid, proof_alg
	    lifetime_seconds    a day at most
	    lifetime_given_seconds
	                        the lifetime that the provider gave, if that is more
	    lifetime_assumed    whether the provider gave none
	    error, hint         why there is no token: cause (unavailable, timeout,
	                        refused, unusable, configuration), status, code, text
	storage                 only if tokens are shared; with --storage, only this and ok:
	  ok                    whether it is not unfit
	  module                the name of its module
	  verdict               fit, slow or unfit
	  findings              array, one for each probe, in order:
	    name, result        result: ok, warn or fail
	    text, hint          what was seen; what that means
	  median_seconds, worst_seconds
	                        of a read or write
	  dead_holder_seconds   for how long the lock of a killed process was kept`,
		Args: noArguments("use --config to name a configuration"),
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	cmd.Flags().StringVarP(&flags.config, "config", "c", "", "The configuration to check; - for the standard input")
	cmd.Flags().StringVarP(&flags.adapter, "adapter", "a", "", "The adapter of the configuration, if it is not JSON")
	takeEnvFiles(cmd)
	cmd.Flags().StringVar(&flags.environment, "environment", "", "The BankID environment of the client: production, current or sandbox")
	cmd.Flags().StringVar(&flags.issuer, "issuer", "", "The issuer identifier of another OpenID provider")
	cmd.Flags().BoolVar(&flags.insecure, "insecure-http-issuer", false, "Whether the issuer is plain http on another machine, for rehearsals")
	cmd.Flags().StringVar(&flags.clientID, "client-id", "", "The client identifier")
	cmd.Flags().StringVar(&flags.secretFile, "secret-file", "", "The file with the client secret")
	cmd.Flags().StringVar(&flags.keyFile, "key-file", "", "The file with the private key of private_key_jwt")
	cmd.Flags().StringVar(&flags.keyID, "key-id", "", "The kid of the private key; none for no kid")
	cmd.Flags().StringVar(&flags.audience, "audience", "", "The audience of client assertions; default: the issuer")
	cmd.Flags().StringVar(&flags.authMethod, "auth-method", "", "The client authentication method; default: by what the provider supports")
	cmd.Flags().StringArrayVar(&flags.scopes, "scope", nil, "A scope to ask for; can be given several times")
	cmd.Flags().BoolVar(&flags.dpop, "dpop", false, "Whether the client's tokens are bound to a key (b2b)")
	cmd.Flags().BoolVar(&flags.storage, "storage", false, "Try the storage of the configuration, and nothing else, for share_tokens")
	cmd.Flags().BoolVar(&flags.json, "json", false, "Print JSON")
	return cmd
}

// run runs the check. Its error is for cmd to return.
func (f *checkFlags) run(cmd *cobra.Command) error {
	cfg, needs, err := f.load(cmd.InOrStdin())
	if err != nil {
		return unchecked(cmd, err)
	}
	if f.storage {
		return f.runStorage(cmd, cfg)
	}
	report, err := check(cmd.Context(), cfg, needs)
	if err != nil {
		return unchecked(cmd, err)
	}
	f.hint(report)
	if report.shares {
		if report.Storage, err = interruptible(cmd, cfg, nil); err != nil {
			return err
		}
		report.OK = report.OK && report.Storage.OK
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.print(cmd.OutOrStdout())
	}
	return ended(err, report.OK)
}

// runStorage tries the storage alone. Its error is for cmd to return.
func (f *checkFlags) runStorage(cmd *cobra.Command, cfg *caddy.Config) error {
	storage, err := interruptible(cmd, cfg, func(text string) { cmd.PrintErrln(text) })
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), struct {
			OK      bool            `json:"ok"`
			Storage *checkedStorage `json:"storage"`
		}{storage.OK, storage})
	} else {
		t := newTable(cmd.OutOrStdout())
		storage.print(t)
		err = t.flush()
	}
	return ended(err, storage.OK)
}

// interruptible tries the storage of cfg. After a signal, it deletes what it has
// stored, then ends. After a second signal, it ends at once. If it was started with
// nohup, it goes on when its terminal is closed.
func interruptible(cmd *cobra.Command, cfg *caddy.Config, progress func(string)) (*checkedStorage, error) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop)
	storage, err := tryStorage(ctx, cfg.StorageRaw, progress)
	if err != nil && !errors.Is(err, errInterrupted) {
		err = unchecked(cmd, err)
	}
	return storage, err
}

// ended returns the error that ends a check. err is the error from printing the result.
func ended(err error, ok bool) error {
	if err == nil && !ok {
		err = errors.New("the check found something that does not work")
	}
	return err
}

// hint adds the names of flags to the hints of the report. It changes nothing in a
// check of a configuration: there the API decides about DPoP, and the options have the
// names that the hints use.
func (f *checkFlags) hint(report *checkReport) {
	if f.clientID == "" {
		return
	}
	tokens := report.Clients[0].Tokens // of the one client
	for i := range tokens {
		hint := tokens[i].Hint
		for _, flag := range []struct{ word, name string }{
			{"DPoP", "--dpop"}, {"key_id", "--key-id"}, {"audience", "--audience"}, {"auth_method", "--auth-method"},
		} {
			if strings.Contains(hint, flag.word) && (flag.name != "--dpop" || !f.dpop) {
				tokens[i].Hint += "; the flag for " + flag.word + " is " + flag.name
			}
		}
	}
}

// load returns the configuration to check, and the tokens that it needs.
func (f *checkFlags) load(stdin io.Reader) (*caddy.Config, []need, error) {
	single := f.environment + f.issuer + f.clientID + f.secretFile + f.keyFile + f.keyID + f.audience + f.authMethod
	if single != "" || f.scopes != nil || f.dpop || f.insecure {
		if f.storage {
			return nil, nil, errors.New("--storage is about the storage of a configuration: the flags that describe one client cannot be combined with it")
		}
		if f.config != "" || f.adapter != "" {
			return nil, nil, errors.New("--config names a whole configuration: the flags that describe one client cannot be combined with it")
		}
		return f.client()
	}
	file := f.config
	if file == "" {
		file = adjacentConfig
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, errors.New("nothing to check: there is no Caddyfile in the current directory; use --config, or --environment and --client-id")
		}
	}
	cfg, err := readConfig(file, f.adapter, stdin)
	if err != nil {
		return nil, nil, err
	}
	needs, err := findNeeds(cfg)
	return cfg, needs, err
}

// client returns a configuration of the one client that the flags describe.
func (f *checkFlags) client() (*caddy.Config, []need, error) {
	if f.environment == "" && f.issuer == "" {
		return nil, nil, errors.New("--environment or --issuer is missing")
	}
	if f.keyFile != "" && f.secretFile != "" {
		return nil, nil, errors.New("--secret-file and --key-file exclude each other")
	}
	if f.environment == bankid.Sandbox.Name {
		if f.clientID+f.secretFile+f.keyFile+f.keyID+f.audience+f.authMethod != "" {
			return nil, nil, errors.New("with --environment sandbox, leave out the flags that describe a client: the sandbox's own are checked; or write --issuer " + bankid.Sandbox.Issuer + " instead of --environment")
		}
	} else if f.clientID == "" {
		return nil, nil, errors.New("--client-id is missing")
	} else if f.keyFile+f.secretFile == "" {
		return nil, nil, errors.New("--secret-file or --key-file is missing")
	}
	app := App{Environment: f.environment, Issuer: f.issuer, InsecureHTTPIssuer: f.insecure, Client: Client{
		ClientID: f.clientID, KeyID: f.keyID, Audience: f.audience, AuthMethod: f.authMethod,
	}}
	for file, value := range map[string]*string{f.secretFile: &app.ClientSecret, f.keyFile: &app.PrivateKey} {
		if file == "" {
			continue
		}
		if strings.ContainsAny(file, "{}") {
			return nil, nil, fmt.Errorf("the name of the file %s must not have braces", file)
		}
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, nil, err
		}
		*value = "{file." + path + "}"
	}
	cfg := &caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true}, // there is no server with an admin endpoint
		AppsRaw: caddy.ModuleMap{"bankid_esign": caddyconfig.JSON(app, nil)},
	}
	scopes := f.scopes
	if scopes == nil {
		apis := []bankid.API{bankid.CSC, bankid.SignDoc, bankid.Timestamp}
		if f.dpop {
			apis = []bankid.API{bankid.B2B}
		}
		for _, api := range apis {
			scopes = append(scopes, bankid.Scopes(api, nil)...)
		}
	}
	var needs []need
	for _, scope := range scopes {
		if err := tokenauth.CheckScope(scope); err != nil {
			return nil, nil, err
		}
		needs = append(needs, need{scopes: []string{scope}, dpop: f.dpop})
	}
	return cfg, sortNeeds(needs), nil
}

// print writes the report for a person to w.
func (r *checkReport) print(w io.Writer) error {
	t := newTable(w)
	environment := ""
	if r.Environment != "" {
		environment = " (environment " + r.Environment + ")"
	}
	t.heading("issuer " + r.Issuer + environment)
	if r.Error != nil {
		t.row(bad, "discovery", r.Error.Error())
		t.hint(r.Hint)
		return r.printRest(t)
	}
	t.row(good, "discovery", "token endpoint "+r.TokenEndpoint)
	if r.ESignBaseURLDiffers {
		t.row(odd, "esign-baseurl", r.ESignBaseURL+" is given by the provider; calls do not go there")
	} else if r.ESignBaseURL != "" {
		t.row(good, "esign-baseurl", r.ESignBaseURL)
	}
	printClock(t, r.clock, time.Now())
	return r.printRest(t)
}

// printRest writes the part of the report after the provider.
func (r *checkReport) printRest(t *table) error {
	for _, client := range r.Clients {
		client.print(t)
	}
	if r.Storage != nil {
		r.Storage.print(t)
	}
	return t.flush()
}

// print adds the client to the table.
func (c *checkedClient) print(t *table) {
	t.heading("client " + c.Name)
	if len(c.Tokens) == 0 {
		t.row(odd, "tokens", "no handler or transport uses this client: nothing to check")
		return
	}
	for _, key := range c.Keys {
		key.print(t)
	}
	if c.Credentials != nil {
		c.Credentials.print(t)
		t.row(none, "tokens", "not tried, since the provider's configuration could not be read")
		return
	}
	who := c.Tokens[0].describe()
	switch {
	case c.ended() == keySilent: // said above
	case c.authenticated():
		t.row(good, "authentication", who)
	case c.refused():
		t.row(bad, "authentication", who)
	default:
		t.row(odd, "authentication", who+": it is not known whether that is right")
	}
	reason, hint := c.ended(), ""
	for _, token := range c.Tokens {
		token.print(t, reason)
		if token.Hint != hint { // otherwise it would repeat the client's hint
			t.hint(token.Hint)
		}
		hint = token.Hint
	}
}

// print adds the credentials to the table.
func (c *checkedCredentials) print(t *table) {
	switch {
	case !c.OK:
		t.row(bad, "credentials", c.Error.Error())
	case c.Hint != "":
		t.row(odd, "credentials", c.describe())
	default:
		t.row(good, "credentials", c.describe())
	}
	t.hint(c.Hint)
}

// describe says what credentials there are.
func (c *checkedCredentials) describe() string {
	if c.Key {
		return c.ClientID + ", with a private key"
	}
	return c.ClientID + ", with a client secret"
}

// describe says how the token was asked for.
func (k *checkedToken) describe() string {
	if k.AuthMethod == "" {
		return "not tried"
	}
	text := k.ClientID + " by " + string(k.AuthMethod)
	if k.AssertionAlgorithm != "" {
		kid := "no kid"
		if k.AssertionKeyID != "" {
			kid = "kid " + k.AssertionKeyID
		}
		text += " (" + k.AssertionAlgorithm + ", " + kid + ")"
	}
	if k.ProofAlgorithm != "" {
		text += ", with DPoP (" + k.ProofAlgorithm + ")"
	}
	return text
}

// life says how long the token is valid.
func (k *checkedToken) life() string {
	text := "token of " + (time.Duration(k.Lifetime) * time.Second).String()
	switch {
	case k.LifetimeAssumed:
		text += " (assumed: the provider does not say)"
	case k.LifetimeGiven > 0:
		text += " (the longest that is accepted; the provider gives " + (time.Duration(k.LifetimeGiven) * time.Second).String() + ")"
	case k.Lifetime <= 0:
		text = "token without a lifetime, which no API accepts"
	}
	return text
}

// print adds the token to the table. If the token was skipped, reason says why. The
// caller prints the hint.
func (k *checkedToken) print(t *table, reason string) {
	scopes, life := scopeList(k.Scopes), k.life()
	switch {
	case k.Skipped:
		t.row(none, scopes, "not tried, since "+reason)
	case k.Error != nil:
		t.row(bad, scopes, k.Error.Error())
	case k.Lifetime <= 0:
		t.row(bad, scopes, life)
	case !k.OK:
		t.row(bad, scopes, life+", granted for "+scopeList(k.GrantedScopes))
	default:
		t.row(good, scopes, life)
	}
	if len(k.MissingScopes) > 0 && len(k.Scopes) > 1 {
		t.row(none, "missing", scopeList(k.MissingScopes))
	}
}

// printJSON writes v as indented JSON. It escapes all characters that a terminal would
// obey; JSON requires that only for some.
func printJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var escaped strings.Builder
	for _, r := range text.String() {
		if r == '\n' || unicode.IsPrint(r) {
			escaped.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&escaped, `\u%04x`, unit)
		}
	}
	_, err := io.WriteString(w, escaped.String())
	return err
}
