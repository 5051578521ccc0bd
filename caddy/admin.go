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

// adminBase is where the admin API of the gateway begins.
const adminBase = "/bankid_esign/"

// adminAPI shows the state of the clients' tokens, never a token, and renews
// them on demand:
//
//	GET  /bankid_esign/clients                 all clients
//	GET  /bankid_esign/clients/{name}          one client; the default one is "default"
//	POST /bankid_esign/clients/{name}/refresh  obtains its tokens anew, and shows the client after that
//
// A refresh overrides the back-off after failures, but not a provider's Retry-After,
// and makes no attempt within 10 seconds of the one before: a token that was obtained so
// lately with the present credential is kept, and shown with next_refresh. If there is
// another one that it is too soon for, the answer is 429 with Retry-After, though the
// other tokens are obtained. If an attempt fails, it is 502, 503 or 504, as for a call,
// and the tokens that there are stay in use.
//
// Errors are those of Caddy's admin API: JSON with the member "error".
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
	// As escaped, since a client's name may have a slash in it.
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

// activeApp returns the app of the running configuration. The module cannot keep
// it: it is provisioned before apps are, and not told when they are gone.
func activeApp() (*App, error) { return loadApp(caddy.ActiveContext()) }

// refresh obtains the tokens of the client called name anew, all at once, but for those
// that it has just obtained: these are kept, until the time when another one can be
// obtained. The error is that of the first one that failed, or a
// *tokenauth.TooSoonError if there is one that is neither obtained nor kept.
func (a *App) refresh(ctx context.Context, name string) (kept map[*tokenauth.Source]time.Time, err error) {
	sources := a.used[name]
	errs := make([]error, len(sources))
	// The attempts end by themselves. The context does not say that the client
	// has left: the admin endpoint's read timeout ends it too, while there is
	// nothing to read.
	ctx = context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	for i, source := range sources {
		wg.Go(func() { errs[i] = source.Refresh(ctx) })
	}
	wg.Wait()
	var tooSoon *tokenauth.TooSoonError // the first one that it will not be for
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

// adminError makes an error that Caddy's admin endpoint answers with.
func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// writeAdmin answers with v.
func writeAdmin(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return adminError(http.StatusInternalServerError, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The header is out: there is nobody to tell of an error.
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
