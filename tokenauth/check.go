package tokenauth

import (
	"context"
	"net/http"
	"time"
)

// A Report is what Check found out. It holds nothing secret.
type Report struct {
	// Status is that of the source after the one attempt: who asked and how, and
	// what was granted, or why nothing was. If the provider refused all scopes
	// together, MissingScopes are those that it refuses one by one.
	Status

	// Lifetime is that of the token, a day at most. LifetimeGiven is what the provider
	// said, if that is more, and LifetimeAssumed reports that it did not say.
	Lifetime, LifetimeGiven time.Duration
	LifetimeAssumed         bool

	// Hint says what the likely mistake is, "" if there is none, or none can be
	// told.
	Hint string
}

// OK reports whether all that was asked for was granted, with a life: no API takes a
// token that has none.
func (r Report) OK() bool { return r.Err == nil && len(r.MissingScopes) == 0 && r.Lifetime > 0 }

// Check tries config by obtaining a token with client, which is thrown away. An
// error means that config is not valid, as for NewSource; what is wrong
// otherwise is in the report.
func Check(ctx context.Context, config Config, client *http.Client) (Report, error) {
	report, err := try(ctx, config, client)
	if err != nil || report.OK() {
		return report, err
	}
	report.Hint = report.Status.Hint()
	if report.Hint == "" && report.Err == nil {
		report.Hint = "the token has no life, so that no API takes it: have the lifespan of access tokens set at the provider, for the client or as a whole"
	}
	if report.Err != nil && report.Err.Cause == CauseRefused && report.Err.Code == "invalid_scope" {
		report.MissingScopes, err = refusedScopes(ctx, config, client)
	}
	return report, err
}

// try obtains one token.
func try(ctx context.Context, config Config, client *http.Client) (Report, error) {
	source, err := NewSource(config)
	if err != nil {
		return Report{}, err
	}
	var event Event
	source.Attach(Runtime{Client: client, Observe: func(e Event) { event = e }})
	_, _ = source.Token(ctx)
	source.Close() // and the event is complete
	report := Report{Status: source.Status(), Lifetime: event.Lifetime, LifetimeGiven: event.LifetimeGiven, LifetimeAssumed: event.LifetimeAssumed}
	report.MissingScopes = event.MissingScopes // also of a token that was not kept
	if err := ctx.Err(); err != nil {
		report.Err = transportError(opToken, err)
	}
	return report, nil
}

// refusedScopes returns which of the scopes are refused when asked for alone.
func refusedScopes(ctx context.Context, config Config, client *http.Client) ([]string, error) {
	scopes := config.Scopes
	if len(scopes) < 2 {
		return scopes, nil
	}
	var refused []string
	for _, scope := range scopes {
		config.Scopes = []string{scope}
		report, err := try(ctx, config, client)
		if err != nil {
			return nil, err
		}
		if report.Err != nil && report.Err.Code == "invalid_scope" {
			refused = append(refused, scope)
		}
	}
	return refused, nil
}
