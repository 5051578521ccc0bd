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

// parseIssuer reports what is wrong with an issuer.
func (a *App) parseIssuer(issuer string) error {
	if !a.InsecureHTTPIssuer {
		_, err := tokenauth.ParseIssuer(issuer)
		return err
	}
	u, err := tokenauth.ParseInsecureIssuer(issuer)
	if err != nil {
		return fmt.Errorf("%w: leave insecure_http_issuer out", err)
	}
	return checkRehearsal(u)
}

// plainHost matches the hosts whose names are looked up as they are written. Others
// are not: net/http makes ASCII of what looks like it, and a dot at the end is none of
// the name.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9._:-]*[A-Za-z0-9_:-]$`)

// checkRehearsal reports an error if u is of BankID, or may be by another spelling: its
// credentials and tokens are not for a network that others can listen to.
func checkRehearsal(u *url.URL) error {
	switch host := u.Hostname(); {
	case !plainHost.MatchString(host):
		return errors.New("is refused: insecure_http_issuer goes only with hosts of the letters a to z, digits, '-', '_' and '.', and no '.' at the end")
	case bankid.Owns(host):
		return errors.New("is a host of BankID, which insecure_http_issuer is never for")
	}
	return nil
}

// errInsecureEnvironment is what is wrong with an environment whose issuer is to be
// plain http.
var errInsecureEnvironment = errors.New("insecure_http_issuer goes with issuer, and with no environment")

// checkOrigin reports an error if calls must not go to u: with an issuer that is plain
// http, BankID's own hosts are out of reach, so that nobody uses it for real.
func (a *App) checkOrigin(u *url.URL) error {
	if !a.InsecureHTTPIssuer {
		return nil
	}
	if err := checkRehearsal(u); err != nil {
		return fmt.Errorf("upstream %s %w", u, err)
	}
	return nil
}

// usedCredential is the key of a credential in the pool, for as long as a configuration
// uses it.
type usedCredential struct {
	typed  [sha256.Size]byte
	key    bool // whether it is a private key
	secure bool // whether it is protected by TLS, or does not leave this machine
}

// provisionSecrecy keeps credentials that are protected by TLS apart from those that
// are sent to an issuer which is plain http, whichever of the two comes first: a file
// that both name is read at every token request. So a reload does not send in the clear
// what another configuration that is still in use protects.
func (a *App) provisionSecrecy(name string, client *Client) error {
	secure := !a.InsecureHTTPIssuer
	for _, field := range client.fields() {
		if !field.secret || *field.value == "" {
			continue
		}
		typed, err := digest(*field.value)
		if err != nil {
			return err
		}
		own := usedCredential{typed: typed, key: field.name != "client_secret", secure: secure}
		if _, err := use(&a.refs, own, func() (tokenauth.Secret, error) { return tokenauth.NewSecret(*field.value), nil }); err != nil {
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

// sharesCredential reports whether a client of the other kind uses the credential, too.
func sharesCredential(own usedCredential, typed string) bool {
	others := make(map[usedCredential]tokenauth.Secret)
	pool.Range(func(key, value any) bool {
		if other, ok := key.(usedCredential); ok && other.secure != own.secure {
			others[other] = value.(destructible[tokenauth.Secret]).value
		}
		return true
	})
	if len(others) == 0 {
		return false // and so no file is read where nothing is plain http
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

// credentialMarks returns hashes by which a credential is known, however it is spelt:
// of how it is typed, and, as far as it can be read, of what it is. A private key is
// the same one in every form.
func credentialMarks(typed string, key bool) [][sha256.Size]byte {
	marks := [][sha256.Size]byte{sha256.Sum256([]byte("typed " + cleanPaths(typed)))}
	value, err := resolve(typed)
	if err != nil {
		return marks // it is told of when it is used
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

// cleanPaths returns typed with one spelling for each file that its placeholders name.
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

// warnInsecure says at every load that the issuer is plain http.
func (a *App) warnInsecure() {
	if a.InsecureHTTPIssuer {
		a.logger.Warn("the issuer is plain http (insecure_http_issuer): everybody in the network can read the credentials and tokens, and answer in its place; this is for rehearsals only",
			zap.String("issuer", a.env.Issuer))
	}
}
