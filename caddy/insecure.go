package caddyesign

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"go.uber.org/zap"

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

// provisionSecrecy keeps credentials that are protected by TLS apart from those that
// are sent to an issuer which is plain http. It knows them as they are typed: a file
// that both name is the same secret. They are remembered for as long as a configuration
// uses them, so that a reload does not send them in the clear.
func (a *App) provisionSecrecy(name string, client *Client) error {
	secure := !a.InsecureHTTPIssuer && a.sandbox == nil
	for _, field := range client.fields() {
		if !field.secret || *field.value == "" {
			continue
		}
		key, err := digest(*field.value)
		if err != nil {
			return err
		}
		if secure {
			if _, err := use(&a.refs, secrecyKey(key), func() (struct{}, error) { return struct{}{}, nil }); err != nil {
				return err
			}
		} else if users, ok := pool.References(secrecyKey(key)); ok && users > 0 && a.InsecureHTTPIssuer {
			return fmt.Errorf("client '%s': %s is also the credential of a client whose issuer is secure: with insecure_http_issuer, use another one", clientLabel(name), field.name)
		}
	}
	return nil
}

// warnInsecure says at every load that the issuer is plain http.
func (a *App) warnInsecure() {
	if a.InsecureHTTPIssuer {
		a.logger.Warn("the issuer is plain http (insecure_http_issuer): everybody in the network can read the credentials and tokens, and answer in its place; this is for rehearsals only",
			zap.String("issuer", a.env.Issuer))
	}
}
