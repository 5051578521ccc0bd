package caddyesign

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// sourceObserver observes a source for one configuration. It counts all attempts to
// obtain a token, logs one line for every change of state and the rest at debug level,
// and emits events.
type sourceObserver struct {
	logger *zap.Logger
	env    bankid.Environment
	client string
	events *emitter

	// These are what the log has already. Only observe uses them, and observe is not
	// called concurrently.
	obtained, assumed, lifeless, missing, elsewhere bool
	clock                                           tokenauth.Clock
	failing                                         failing
}

// failing is the state of a source whose last attempt failed.
type failing struct {
	yes    bool
	usable bool // there is still a usable token
	cause  tokenauth.Cause
	code   string
}

// newSourceObserver returns a sourceObserver for a source of the named client.
func newSourceObserver(logger *zap.Logger, env bankid.Environment, client string, events *emitter) *sourceObserver {
	client = clientLabel(client)
	return &sourceObserver{
		logger: logger.With(zap.String("client", client), zap.String("issuer", env.Issuer)),
		env:    env, client: client, events: events,
	}
}

// observe counts and logs an attempt to obtain a token, and emits its events. The
// events come last, since handling them may take long.
func (o *sourceObserver) observe(e tokenauth.Event) {
	countAttempt(o.client, e)
	was := o.failing
	o.log(e)
	o.emit(e, was)
}

// log logs an attempt to obtain a token.
func (o *sourceObserver) log(e tokenauth.Event) {
	logger := o.logger.With(zap.String("scope", e.Scopes), zap.Duration("duration", e.Duration))
	o.observeProvider(e.Metadata)
	o.observeClock(e.Clock)
	if e.Err != nil {
		now := failing{yes: true, usable: e.Usable, cause: e.Err.Cause, code: e.Err.Code}
		level := zapcore.DebugLevel
		if now != o.failing {
			level = zapcore.ErrorLevel
			if e.Usable {
				level = zapcore.WarnLevel // calls are not affected yet
			}
		}
		o.failing = now
		if c := logger.Check(level, "obtaining token failed"); c != nil {
			c.Write(
				zap.String("cause", e.Err.Cause.String()),
				zap.String("code", e.Err.Code),
				zap.Error(e.Err),
				zap.String("hint", e.Err.Hint()),
				zap.Int("attempt", e.Failures),
				zap.Bool("token_usable", e.Usable),
				zap.Duration("next_attempt", time.Until(e.Err.RetryAt)),
			)
		}
		return
	}
	level := zapcore.DebugLevel
	if !o.obtained || o.failing.yes {
		level = zapcore.InfoLevel
	}
	if c := logger.Check(level, "obtained token"); c != nil {
		c.Write(
			zap.String("client_id", e.ClientID),
			zap.Duration("lifetime", e.Lifetime),
			zap.Int("failed_attempts", e.Failures),
			zap.Bool("shared", e.Shared),
		)
	}
	if e.LifetimeAssumed && !o.assumed {
		logger.Warn("the provider does not give the lifetime of its tokens", zap.Duration("assumed", e.Lifetime))
	}
	lifeless := e.Lifetime <= 0
	if lifeless && !o.lifeless {
		logger.Warn("the token has no lifetime: no API accepts it, and every call asks for another one")
	}
	missing := len(e.MissingScopes) > 0
	if missing && !o.missing {
		logger.Warn("the token was granted without some of the scopes asked for", zap.Strings("missing", e.MissingScopes))
	}
	o.obtained, o.assumed, o.lifeless, o.missing, o.failing = true, e.LifetimeAssumed, lifeless, missing, failing{}
}

// observeProvider compares the place where the provider says the APIs are with the
// place where calls go. Calls do not follow the provider's document: a document must
// not decide who gets a token.
func (o *sourceObserver) observeProvider(m *tokenauth.Metadata) {
	if m == nil {
		return
	}
	base := m.Text("esign-baseurl")
	elsewhere := o.env.Elsewhere(base)
	if elsewhere && !o.elsewhere {
		o.logger.Warn("the provider names another host for the eSign APIs; calls do not go there",
			zap.String("esign_baseurl", base), zap.String("upstream", o.env.ESign))
	}
	o.elsewhere = elsewhere
}

// observeClock logs once that the clocks differ. A small difference is a warning, since
// signed assertions and proofs are corrected for it. A larger one is an error.
func (o *sourceObserver) observeClock(c tokenauth.Clock) {
	was := o.clock
	o.clock = c
	if !skewed(c) || skewed(was) && was.Correctable() == c.Correctable() {
		return
	}
	level := zapcore.WarnLevel
	if !c.Correctable() {
		level = zapcore.ErrorLevel
	}
	if entry := o.logger.Check(level, "this machine's clock differs from the provider's"); entry != nil {
		now := time.Now()
		entry.Write(
			zap.Duration("provider_ahead_by", c.Ahead),
			zap.Bool("corrected", c.Correctable()),
			zap.String("provider_time", utc(now.Add(c.Ahead))),
			zap.String("machine_time", utc(now)),
		)
	}
}

// emit emits the events of an attempt. was is the state before that attempt.
func (o *sourceObserver) emit(e tokenauth.Event, was failing) {
	if o.events == nil {
		return
	}
	data := map[string]any{"client": o.client, "issuer": o.env.Issuer, "scope": e.Scopes}
	if e.Err == nil {
		data["client_id"] = e.ClientID
		data["lifetime"] = e.Lifetime.Seconds()
		data["failed_attempts"] = e.Failures
		o.events.emit(eventTokenObtained, data)
		return
	}
	if o.failing == was {
		return
	}
	data["cause"], data["code"], data["error"] = e.Err.Cause.String(), e.Err.Code, e.Err.Error()
	data["attempt"], data["token_usable"] = e.Failures, e.Usable
	data["next_attempt"] = e.Err.RetryAt.UTC().Format(time.RFC3339)
	o.events.emit(eventTokenFailed, data)
	if !e.Usable && (!was.yes || was.usable) {
		o.events.emit(eventTokenUnavailable, data)
	}
}
