package tokenauth

import (
	"context"
	"net/http"
	"time"
)

// A Report is the result of Check. It holds nothing secret.
type Report struct {
	// Status is the status of the source after one attempt: who asked and how, and
	// what was granted, or why nothing was granted. If the provider refused the scopes
	// when asked for all together, MissingScopes are those that it refuses when asked
	// for each alone.
	Status

	// Lifetime is the lifetime of the token, at most a day. LifetimeGiven is the one
	// that the provider gave, if it is more than a day; else zero. LifetimeAssumed
	// reports whether the provider gave none.
	Lifetime, LifetimeGiven time.Duration
	LifetimeAssumed         bool

	// Hint names the likely mistake, "" if there is none or it is not known.
	Hint string
}

// OK reports whether the provider granted all scopes, in a token with a lifetime of more
// than zero: no API accepts another one.
func (r Report) OK() bool { return r.Err == nil && len(r.MissingScopes) == 0 && r.Lifetime > 0 }

// Check tries config: it obtains a token with client and drops it. An error means that
// config is not valid, as for NewSource. All other failures are in the report.
func Check(ctx context.Context, config Config, client *http.Client) (Report, error) {
	config, err := config.complete() // so that all attempts share one Provider
	if err != nil {
		return Report{}, err
	}
	report, err := try(ctx, config, client)
	if err != nil || report.OK() {
		return report, err
	}
	report.Hint = report.Status.Hint()
	if report.Hint == "" && report.Err == nil {
		report.Hint = "the lifetime of the token is zero, so no API accepts it: have the lifespan of access tokens set at the provider, for the client or as a whole"
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
	source.Close() // after that, the event is complete
	report := Report{Status: source.Status(), Lifetime: event.Lifetime, LifetimeGiven: event.LifetimeGiven, LifetimeAssumed: event.LifetimeAssumed}
	report.MissingScopes = event.MissingScopes // also if the token was not kept
	if err := ctx.Err(); err != nil {
		report.Err = transportError(opToken, err)
	}
	return report, nil
}

// refusedScopes returns the scopes that the provider refuses when asked for each alone.
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
