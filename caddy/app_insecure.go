package caddyesign

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// parseIssuer returns an error if issuer is not valid. insecure is whether it may be
// plain http.
func parseIssuer(issuer string, insecure bool) error {
	if !insecure {
		_, err := tokenauth.ParseIssuer(issuer)
		return err
	}
	u, err := tokenauth.ParseInsecureIssuer(issuer)
	if err != nil {
		return fmt.Errorf("%w: leave insecure_http_issuer out", err)
	}
	return checkRehearsal(u)
}

// plainHost matches host names that are looked up as written. Other names are not:
// net/http converts characters that resemble ASCII, and a dot at the end is not part of
// the name.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9._:-]*[A-Za-z0-9_:-]$`)

// checkRehearsal returns an error if u is a host of BankID, or may be one in another
// spelling: credentials and tokens for BankID must not cross a network where others can
// listen.
func checkRehearsal(u *url.URL) error {
	switch host := u.Hostname(); {
	case !plainHost.MatchString(host):
		return errors.New("is refused: with insecure_http_issuer, a host name has only letters from a to z, digits, '-', '_' and '.', and does not end with '.'")
	case bankid.Owns(host):
		return errors.New("is a host of BankID, where insecure_http_issuer cannot be used")
	}
	return nil
}

// errInsecureEnvironment is the error for an environment with insecure_http_issuer.
var errInsecureEnvironment = errors.New("insecure_http_issuer needs issuer, and excludes environment")

// usedCredential is the key of a credential in the pool while a configuration uses the
// credential.
type usedCredential struct {
	typed  [sha256.Size]byte
	key    bool // whether it is a private key
	secure bool // whether it is protected by TLS, or does not leave this machine
}

// provisionSecrecy ensures that no credential is used both with an issuer that is plain
// http and with one protected by TLS, whichever is configured first. The check covers
// all configurations in use: a file that both name is read at every token request, so a
// reload could otherwise send in the clear what an older configuration still protects.
// name is that of the client, secure is whether its issuer is protected by TLS, and refs
// are those of the configuration.
func provisionSecrecy(refs *references, name string, client *Client, secure bool) error {
	modules := []clientField{
		{"private_key", new(string(client.PrivateKeyRaw)), true},
		{"dpop_key", new(string(client.DPoPKeyRaw)), true},
	}
	for _, field := range append(client.fields(), modules...) {
		if !field.secret || *field.value == "" {
			continue
		}
		typed, err := digest(*field.value)
		if err != nil {
			return err
		}
		own := usedCredential{typed: typed, key: strings.HasSuffix(field.name, "_key"), secure: secure}
		if _, err := use(refs, own, func() (tokenauth.Secret, error) { return tokenauth.NewSecret(*field.value), nil }); err != nil {
			return err
		}
		if !sharesCredential(own, *field.value) {
			continue
		}
		if secure {
			return fmt.Errorf("client '%s': %s is also the credential of a client whose issuer is plain http (insecure_http_issuer) in the configuration that runs: use another one, or stop that first", clientLabel(name), field.name)
		}
		return fmt.Errorf("client '%s': %s is also the credential of a client whose issuer is secure: with insecure_http_issuer, use another one", clientLabel(name), field.name)
	}
	return nil
}

// sharesCredential reports whether a client of the other kind also uses the credential.
func sharesCredential(own usedCredential, typed string) bool {
	others := make(map[usedCredential]tokenauth.Secret)
	pool.Range(func(key, value any) bool {
		if other, ok := key.(usedCredential); ok && other.secure != own.secure {
			others[other] = value.(destructible[tokenauth.Secret]).value
		}
		return true
	})
	if len(others) == 0 {
		return false // so no file is read if no issuer is plain http
	}
	marks := credentialMarks(typed, own.key)
	for other, secret := range others {
		for _, mark := range credentialMarks(secret.Reveal(), other.key) {
			if slices.Contains(marks, mark) {
				return true
			}
		}
	}
	return false
}

// credentialMarks returns hashes that identify a credential, however it is spelt: a
// hash of the text as typed, and, if it can be resolved, of its value. A private key
// has the same hash in every format.
func credentialMarks(typed string, key bool) [][sha256.Size]byte {
	marks := [][sha256.Size]byte{sha256.Sum256([]byte("typed " + cleanPaths(typed)))}
	value, err := resolve(typed)
	if err != nil {
		return marks // the error is reported when the credential is used
	}
	marks = append(marks, sha256.Sum256([]byte("value "+strings.TrimSpace(value))))
	if !key {
		return marks
	}
	if parsed, err := parseKey(value, ""); err == nil {
		marks = append(marks, sha256.Sum256([]byte("key "+parsed.Thumbprint())))
	}
	return marks
}

// cleanPaths returns typed with a uniform spelling for each file that its placeholders
// name.
func cleanPaths(typed string) string {
	repl := caddy.NewEmptyReplacer()
	repl.Map(func(name string) (any, bool) {
		if path, ok := strings.CutPrefix(name, "file."); ok {
			if abs, err := filepath.Abs(path); err == nil {
				name = "file." + abs
			}
		}
		return "{" + name + "}", true
	})
	return repl.ReplaceAll(typed, "")
}

// warnInsecure warns, at every load, that the issuer is plain http.
func warnInsecure(logger *zap.Logger, issuer string) {
	logger.Warn("the issuer is plain http (insecure_http_issuer): everybody in the network can read the credentials and tokens, and respond in its name; this is for rehearsals only",
		zap.String("issuer", issuer))
}
