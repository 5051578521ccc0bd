package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminBase is the path at which the gateway's part of the admin API begins.
const adminBase = "/bankid_esign/"

// adminAPI shows the state of the clients' tokens, never a token, and renews
// them on demand:
//
//	GET  /bankid_esign/clients                 all clients
//	GET  /bankid_esign/clients/{name}          one client; the default one is "default"
//	POST /bankid_esign/clients/{name}/refresh  obtains its tokens anew, then shows the client
//
// A refresh ignores the back-off after failures, but obeys a provider's Retry-After. It
// makes no attempt within 10 seconds of the attempt before. If a token was obtained within
// that time with the present credential, the token is kept, and shown with next_refresh.
// If it is too soon for another token, the status is 429 with Retry-After, though the
// remaining tokens are obtained. If an attempt fails, the status is 502, 503 or 504, as
// for a call, and the present tokens stay in use.
//
// Errors have the form of Caddy's admin API: JSON with the member "error".
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.bankid_esign",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes returns the routes of the admin API.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminBase, Handler: caddy.AdminHandlerFunc(a.serve)}}
}

// serve routes a request.
func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	// The path is split as escaped, since a client's name may contain a slash.
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), adminBase), "/")
	refresh := len(segments) == 3 && segments[2] == "refresh"
	if segments[0] != "clients" || len(segments) > 3 || (len(segments) == 3 && !refresh) {
		return adminError(http.StatusNotFound, fmt.Errorf("resource not found: %s", r.URL.Path))
	}
	allowed := []string{http.MethodGet, http.MethodHead}
	if refresh {
		allowed = []string{http.MethodPost}
	}
	if !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return adminError(http.StatusMethodNotAllowed, fmt.Errorf("method not allowed: %s", r.Method))
	}
	app, err := activeApp()
	if err != nil {
		return adminError(http.StatusNotFound, err)
	}
	if len(segments) == 1 {
		clients := make([]clientStatus, 0)
		for _, name := range app.clientNames() {
			clients = append(clients, app.clientStatus(name, nil))
		}
		return writeAdmin(w, clients)
	}
	name, err := url.PathUnescape(segments[1])
	if err != nil || !slices.Contains(app.clientNames(), name) {
		return adminError(http.StatusNotFound, fmt.Errorf("no client '%s' is configured: must be one of %s", name, strings.Join(app.clientNames(), ", ")))
	}
	var kept map[*tokenauth.Source]time.Time
	if refresh {
		if kept, err = app.refresh(r.Context(), name); err != nil {
			return refreshError(w, name, err)
		}
	}
	return writeAdmin(w, app.clientStatus(name, kept))
}

// activeApp returns the app of the running configuration. The module cannot keep it:
// the module is provisioned before the apps, and is not told when they are gone.
func activeApp() (*App, error) { return loadApp(caddy.ActiveContext()) }

// refresh obtains all tokens of the client called name anew, at the same time. It keeps
// a token that was only just obtained, and returns in kept when another one can be
// obtained. The error is the first failure, or a *tokenauth.TooSoonError if some token
// could neither be obtained nor be kept.
func (a *App) refresh(ctx context.Context, name string) (kept map[*tokenauth.Source]time.Time, err error) {
	sources := a.used[name]
	errs := make([]error, len(sources))
	// Each attempt ends by itself. The context cannot tell that the client has left:
	// the admin endpoint's read timeout also ends it, while there is nothing to read.
	ctx = context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	for i, source := range sources {
		wg.Go(func() { errs[i] = source.Refresh(ctx) })
	}
	wg.Wait()
	var tooSoon *tokenauth.TooSoonError // of the token that can be obtained first
	kept = make(map[*tokenauth.Source]time.Time)
	for i, err := range errs {
		if e, ok := errors.AsType[*tokenauth.TooSoonError](err); ok {
			if !e.ObtainedAt.IsZero() {
				kept[sources[i]] = e.RetryAt
				continue
			}
			if tooSoon == nil || e.RetryAt.Before(tooSoon.RetryAt) {
				tooSoon = e
			}
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	if tooSoon != nil {
		return nil, tooSoon
	}
	return kept, nil
}

// refreshError translates the error of a refresh.
func refreshError(w http.ResponseWriter, name string, err error) error {
	if tooSoon, ok := errors.AsType[*tokenauth.TooSoonError](err); ok {
		w.Header().Set("Retry-After", retryAfter(tooSoon.RetryAt))
		return adminError(http.StatusTooManyRequests, fmt.Errorf("client '%s': %w", name, err))
	}
	status := http.StatusInternalServerError
	if e := asGatewayError(err); e != nil {
		status = e.status
	}
	if e, ok := errors.AsType[*tokenauth.Error](err); ok && e.Hint() != "" {
		err = fmt.Errorf("%w; hint: %s", err, e.Hint())
	}
	return adminError(status, fmt.Errorf("client '%s': %w", name, err))
}

// adminError returns an error that Caddy's admin endpoint sends as the response.
func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// writeAdmin sends v as JSON.
func writeAdmin(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return adminError(http.StatusInternalServerError, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The header is already sent, so an error cannot be reported any more.
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
