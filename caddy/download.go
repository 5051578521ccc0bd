package caddyesign

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// clientKey identifies a client at its issuer, and so the orders that it can see.
type clientKey struct{ Issuer, ClientID string }

// serveDownload makes a call whose response is the only copy of its content. The call
// starts only while its caller is there, and then runs to its end, whether the caller
// stays or not. A response that arrived whole is kept, and the caller gets it from
// memory, as often as the same caller asks for it while it is kept. Two calls for the
// same download are made one after the other, so that the second gets the response of
// the first.
func (h *Handler) serveDownload(w http.ResponseWriter, r *http.Request, x *exchange, next caddyhttp.Handler) error {
	key, order, ok := h.downloadKey(r, x)
	if !ok {
		return h.forward(w, r, x, next)
	}
	log := downloadLog{zap.String("api", x.Call.Group), zap.String("order", order)}
	d, first, err := h.downloads.Claim(r.Context(), key, log)
	if err != nil {
		return caddyhttp.Error(statusClientClosedRequest, errors.New("the caller left while waiting for an earlier call for the same order"))
	}
	if first {
		kept, err := h.fetchDownload(w, r, x, d, log, next)
		if !kept {
			return err
		}
	}
	d.Serve(w, r, func(outcome download.Outcome) { log.ended(h.logger, d, outcome, first) })
	return nil
}

// downloadKey returns the key under which the response to r is kept, made of site,
// caller and order. ok is false if the caller or the order is not known: then no later
// call could get the response. order is in a form that can be logged.
func (h *Handler) downloadKey(r *http.Request, x *exchange) (key download.Key, order string, ok bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	ids := query["sign_id"]
	caller := callerIdentity(r, h.Callers)
	within := x.download != nil // whether r is in a route of such a call
	if err != nil || len(ids) != 1 || ids[0] == "" || caller == "" || within {
		return key, "", false
	}
	// A server's name changes when a server is added; its addresses do not.
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	var listen []string
	if server != nil {
		listen = slices.Clone(server.Listen)
	}
	// The values are quoted, so that no two lists look the same.
	about := fmt.Sprintf("%q", append(listen,
		strings.ToLower(r.Host), h.client.Issuer, h.client.ClientID,
		x.core.Origin.String(), x.Call.Method, x.Call.Path, caller, ids[0]))
	hash := sha256.Sum256([]byte(ids[0]))
	return sha256.Sum256([]byte(about)), hex.EncodeToString(hash[:8]), true
}

// fetchDownload makes the call, and reports whether its response is kept. If it is not
// kept, the caller has got the response, or fetchDownload returns an error.
func (h *Handler) fetchDownload(w http.ResponseWriter, r *http.Request, x *exchange, d *download.Download, log downloadLog, next caddyhttp.Handler) (kept bool, err error) {
	if err := x.ready(r); err != nil {
		d.Abandon()
		return false, err
	}
	ctx, detached := download.Detach(r.Context(), func() { log.detached(h.logger) })
	defer detached.End()
	recorder := download.NewRecorder(w, d, detached)
	whole := false
	// The proxy panics when a response breaks off.
	defer func() {
		if recorder.TooLong() {
			log.tooLong(h.logger)
		}
		kept = recorder.End(whole)
	}()
	x.download, x.status = detached, 0
	defer func() { x.download = nil }()
	err = h.routes[x.Call.Group].proxy.ServeHTTP(recorder, leaving(r.WithContext(ctx), x.Call), next)
	// A response of the operator's handle_response instead of an error is not the
	// document.
	whole = err == nil && x.status == http.StatusOK
	return false, err
}
