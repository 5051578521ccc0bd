package caddyesign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// aloneFor is how long a call continues after its caller has left: the default limit
// for the header of a response, and some time for its body.
const aloneFor = 5 * time.Minute

// clientKey identifies a client at its issuer, and so the orders that it can see.
type clientKey struct{ Issuer, ClientID string }

// serveOneShot makes a call whose answer is the only copy of its content. The call
// starts only while its caller is there, and then runs to its end, whether the caller
// stays or not. An answer that arrived whole is held, and the caller gets it from
// memory, as often as the same caller asks for it while it is held. Two calls for the
// same answer are made one after the other, so that the second gets the answer of the
// first.
func (h *Handler) serveOneShot(w http.ResponseWriter, r *http.Request, call *gateway.Call, next caddyhttp.Handler) error {
	key, order, ok := h.answerKey(r, call)
	if !ok {
		return h.forward(w, r, call, next)
	}
	answer, first, err := h.held.claim(r.Context(), key, zap.String("api", call.Group), zap.String("order", order))
	if err != nil {
		return caddyhttp.Error(statusClientClosedRequest, errors.New("the caller left while waiting for an earlier call for the same order"))
	}
	if first {
		held, err := h.obtain(w, r, call, answer, next)
		if !held {
			return err
		}
	}
	h.handOver(w, r, answer, first)
	return nil
}

// answerKey returns the key under which the answer to r is held, made of site, caller
// and order. ok is false if the caller or the order is not known, since the answer
// could be handed to nobody then. order is in a form that can be logged.
func (h *Handler) answerKey(r *http.Request, call *gateway.Call) (key answerKey, order string, ok bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	ids := query["sign_id"]
	caller := h.callerIdentity(r)
	within := r.Context().Value(detachedKey{}) != nil // whether r is in a route of such a call
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
		strings.ToLower(r.Host), h.orders.Issuer, h.orders.ClientID,
		h.routes[call.Group].transport.core.Origin.String(), call.Method, call.Path, caller, ids[0]))
	hash := sha256.Sum256([]byte(ids[0]))
	return sha256.Sum256([]byte(about)), hex.EncodeToString(hash[:8]), true
}

// obtain makes the call, and reports whether its answer is held. If it is not held, the
// caller has got the answer, or obtain returns an error.
func (h *Handler) obtain(w http.ResponseWriter, r *http.Request, call *gateway.Call, answer *heldAnswer, next caddyhttp.Handler) (held bool, err error) {
	if err := h.ready(r, call); err != nil {
		h.held.abandon(answer)
		return false, err
	}
	ctx, attach, end := detach(r.Context(), func() {
		h.logger.With(answer.about...).Info("one-shot call goes on without its caller")
	})
	defer end()
	spool := newSpool(w, h.held, answer, attach)
	whole := false
	// The proxy panics when a response breaks off.
	defer func() {
		if spool.tooLong {
			rescuedAnswers.WithLabelValues(resultTooLarge).Inc()
			h.logger.With(answer.about...).Info("one-shot answer not held: it does not fit")
		}
		held = spool.end(whole)
	}()
	err = h.routes[call.Group].proxy.ServeHTTP(spool, h.leaving(r.WithContext(ctx), call), next)
	// A response of the operator's handle_response instead of an error is not the
	// document.
	whole = err == nil && detachedFrom(ctx).status == http.StatusOK
	return false, err
}

// handOver writes a held answer to the caller. If that breaks off, it panics as the
// reverse proxy does.
func (h *Handler) handOver(w http.ResponseWriter, r *http.Request, answer *heldAnswer, first bool) {
	delivered := false
	defer func() {
		kept := h.held.done(answer, delivered)
		switch {
		case delivered && !first:
			rescuedAnswers.WithLabelValues(resultHandedOver).Inc()
			answer.log(h.logger).Info("one-shot answer handed over")
		case !delivered && kept:
			rescuedAnswers.WithLabelValues(resultHeld).Inc()
			answer.log(h.logger).Info("one-shot answer held: its transfer broke off")
		case !delivered:
			answer.observeExpired(h.logger)
		}
	}()
	if r.Context().Err() != nil {
		w.WriteHeader(statusClientClosedRequest) // for the access log, as the reverse proxy does
		return
	}
	header := w.Header()
	delete(header, "Server") // as the reverse proxy does too
	for name, values := range answer.header {
		header[name] = slices.Clone(values)
	}
	header.Set("Content-Length", strconv.FormatInt(answer.length, 10))
	w.WriteHeader(answer.status)
	present := true
	for _, chunk := range answer.body {
		// A caller that has the last chunk is free to leave.
		present = r.Context().Err() == nil
		if _, err := w.Write(chunk); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	err := http.NewResponseController(w).Flush() //nolint:bodyclose // there is none
	delivered = present && (err == nil || errors.Is(err, http.ErrNotSupported))
}

// detachedKey is the context key of a *detached.
type detachedKey struct{}

// A detached call does not end when its caller leaves.
type detached struct {
	callerErr func() error // why the caller has left, or nil if it has not
	status    int          // of the server's last response
}

// detachedFrom returns the detached call that ctx belongs to, or nil if there is none.
func detachedFrom(ctx context.Context) *detached {
	d, _ := ctx.Value(detachedKey{}).(*detached)
	return d
}

// detach returns a context for a call that does not end when its caller leaves, but at
// most aloneFor after that. left is called when the caller leaves. attach makes the
// call end with its caller after all. end must be called when the call has ended.
func detach(caller context.Context, left func()) (ctx context.Context, attach, end func()) {
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(caller), detachedKey{}, &detached{callerErr: caller.Err}))
	stop := context.AfterFunc(caller, func() {
		left()
		limit := time.NewTimer(aloneFor)
		defer limit.Stop()
		select {
		case <-limit.C:
			cancel()
		case <-ctx.Done():
		}
	})
	attach = func() {
		stop()
		context.AfterFunc(caller, cancel)
	}
	end = func() {
		stop()
		cancel()
	}
	return ctx, attach, end
}

// left returns an error if the caller has left. The call is not sent then: nothing is
// lost, and the caller can ask again. d is nil for a call that ends with its caller.
func (d *detached) left() error {
	if d == nil {
		return nil
	}
	return d.callerErr()
}
