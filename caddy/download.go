package caddyesign

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// storageRetryAfter is how long a caller is told to wait before it asks again for a
// download that only the storage can have, which cannot be read.
const storageRetryAfter = 5 * time.Second

// clientKey identifies a client at its issuer, and so the orders that it can see.
type clientKey struct{ Issuer, ClientID string }

// serveDownload makes a call whose response is the only copy of its content. The call
// starts only while its caller is there, and then runs to its end, whether the caller
// stays or not, and however fast it is. The caller gets the response while it comes. A
// response that arrived whole is kept, and the same caller gets it as often as it asks for
// it while it is kept. A second call for a download that is coming gets the same response.
func (h *Handler) serveDownload(w http.ResponseWriter, r *http.Request, x *exchange, next caddyhttp.Handler) error {
	key, order, ok := h.downloadKey(r, x)
	if !ok {
		return h.forward(w, r, x, next)
	}
	log := downloadLog{h.logger, []zap.Field{zap.String("api", x.Call.Group), zap.String("order", order)}}
	options := download.Options{Keep: h.keep, Observer: log}
	switch {
	case h.archive == nil:
	case h.stores:
		options.Archive = h.archive.For(x.Call.Group, order)
	case h.archive.MayHaveDownloads():
		options.Former = h.archive.For(x.Call.Group, order)
	}
	d, first, err := h.downloads.Claim(r.Context(), key, options)
	if err != nil {
		return caddyhttp.Error(statusClientClosedRequest, errors.New("the caller left while waiting for an earlier call for the same order"))
	}
	if first {
		return h.fetchDownload(w, r, x, d, next)
	}
	d.Serve(w, r)
	return nil
}

// downloadKey returns the key under which the response to r is kept, made of site,
// caller and order. ok is false if the caller or the order is not known: then no later
// call could get the response. order is in a form that can be logged.
func (h *Handler) downloadKey(r *http.Request, x *exchange) (key download.Key, order string, ok bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	ids := query["sign_id"]
	caller := h.callerIdentity(r)
	within := x.download != nil // whether r is in a route of such a call
	if h.keep == 0 || err != nil || len(ids) != 1 || ids[0] == "" || caller == "" || within {
		return key, "", false
	}
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		original = *r
	}
	// The values are quoted, so that no two lists look the same.
	about := fmt.Sprintf("%q", append(serverPorts(r),
		strings.ToLower(r.Host), original.URL.Path, h.client.Issuer, h.client.ClientID,
		x.core.Origin.String(), x.Call.Method, x.Call.Path, caller, ids[0]))
	hash := sha256.Sum256([]byte(ids[0]))
	return sha256.Sum256([]byte(about)), hex.EncodeToString(hash[:8]), true
}

// serverPorts returns the ports of the server that got r, and "unix" for a unix socket.
// They do not change when a server is added, as its name does, and they are the same in all
// gateways of a fleet, which bind different addresses.
func serverPorts(r *http.Request) []string {
	var ports []string
	if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		for _, listen := range server.Listen {
			address, err := caddy.ParseNetworkAddress(listen)
			switch {
			case err != nil:
				ports = append(ports, listen)
			case address.IsUnixNetwork():
				ports = append(ports, "unix")
			default:
				ports = append(ports, fmt.Sprintf("%d-%d", address.StartPort, address.EndPort))
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// fetchDownload makes the call, and passes its response on. If the caller gets only a part
// of the response, fetchDownload panics with http.ErrAbortHandler, as a proxy does.
func (h *Handler) fetchDownload(w http.ResponseWriter, r *http.Request, x *exchange, d *download.Download, next caddyhttp.Handler) error {
	if err := x.ready(r); err != nil {
		d.Abandon()
		return err
	}
	recorder := d.Record(w, r)
	recorder.Unfit = x.unfit
	returned := false
	defer func() {
		if !returned { // the proxy panics when a response breaks off
			recorder.End(false)
		}
	}()
	x.download, x.status = recorder, 0
	defer func() { x.download = nil }()
	err := h.routes[x.Call.Group].proxy.ServeHTTP(recorder, inIdentity(leaving(r.WithContext(recorder.Context()), x.Call)), next)
	returned = true
	if !recorder.End(err == nil) {
		panic(http.ErrAbortHandler)
	}
	if err == nil && recorder.Unasked() != nil { // the log has it already
		return handlerError(&gatewayError{
			status: http.StatusServiceUnavailable, kind: proxyInternal,
			message:    "BankID does not have the document, and the gateway's storage, which may have it, cannot be read; see the gateway's log",
			retryAfter: time.Now().Add(storageRetryAfter),
		})
	}
	return err
}

// unfit says whether the response to the call is one that is not kept: a response of the
// operator's handle_response instead of an error is not the document, and if the response
// ends with its connection, it may not be whole.
func (x *exchange) unfit() (e download.Event, unfit bool) {
	if x.unframed {
		return download.Unframed, true
	}
	return 0, x.status != http.StatusOK
}

// inIdentity returns r with an Accept-Encoding that asks for content without a coding:
// later calls may not accept the codings of r.
func inIdentity(r *http.Request) *http.Request {
	out := *r
	out.Header = maps.Clone(r.Header)
	out.Header["Accept-Encoding"] = []string{"identity"}
	return &out
}
