package caddyesign_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func init() {
	caddy.RegisterModule(testEvents{})
}

// emitted receives the events that testEvents handles.
var emitted = make(chan caddy.Event, 100)

// testEvents passes events to the test that is running.
type testEvents struct{}

// CaddyModule returns the Caddy module information.
func (testEvents) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.bankid_esign_test", New: func() caddy.Module { return new(testEvents) }}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*testEvents) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
	}
	return nil
}

// Handle implements caddyevents.Handler.
func (*testEvents) Handle(_ context.Context, e caddy.Event) error {
	emitted <- e
	return nil
}

var _ caddyevents.Handler = (*testEvents)(nil)

// expectEvents waits for events with the given names, one after the other, and returns
// their data.
func expectEvents(t *testing.T, names ...string) []map[string]any {
	t.Helper()
	var data []map[string]any
	for _, name := range names {
		select {
		case e := <-emitted:
			if e.Name() != name {
				t.Fatalf("the event is %s, want %s: %v", e.Name(), name, e.Data)
			}
			data = append(data, e.Data)
		case <-time.After(30 * time.Second):
			t.Fatalf("there is no event %s", name)
		}
	}
	return data
}

func TestEvents(t *testing.T) {
	waits(t)
	f := newFixture(t)
	f.global = `events {
		on bankid_esign_token_obtained bankid_esign_test
		on bankid_esign_token_failed bankid_esign_test
		on bankid_esign_token_unavailable bankid_esign_test
	}`
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		// The token is renewed every half second, and usable for a little less than a
		// second.
		tokenauthtest.WriteToken(w, plantedToken, 1)
	})
	f.start(site)
	data := expectEvents(t, "bankid_esign_token_obtained")[0]
	want := map[string]any{
		"client": "default", "issuer": f.issuer.Issuer(), "scope": "esign", "client_id": "test-client",
		"lifetime": 1.0, "failed_attempts": 0,
	}
	if fmt.Sprint(data) != fmt.Sprint(want) {
		t.Errorf("the data is %v, want %v", data, want)
	}
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	})
	eventually(t, func() bool { return f.do("GET", path, "").StatusCode == 502 })
	f.writeSecret("wrong") // calls try another secret within a second, and not only after the back-off
	var events []caddy.Event
	eventually(t, func() bool {
		f.do("GET", path, "").is(502)
		for len(emitted) > 0 {
			events = append(events, <-emitted)
		}
		return len(events) > 0 && events[len(events)-1].Name() == "bankid_esign_token_unavailable"
	})
	for _, e := range events {
		if e.Name() == "bankid_esign_token_obtained" {
			continue
		}
		for key, value := range map[string]any{
			"client": "default", "scope": "esign", "cause": "refused", "code": "invalid_client", "issuer": f.issuer.Issuer(),
		} {
			if e.Data[key] != value {
				t.Errorf("%s of %s is %v, want %v", key, e.Name(), e.Data[key], value)
			}
		}
		next, err := time.Parse(time.RFC3339, fmt.Sprint(e.Data["next_attempt"]))
		if err != nil || time.Until(next) > 5*time.Minute {
			t.Errorf("next_attempt is %v", e.Data["next_attempt"])
		}
		showsNone(t, e.Name(), fmt.Sprint(e.Data))
	}
	names := slices.Collect(func(yield func(string) bool) {
		for _, e := range events {
			if e.Name() != "bankid_esign_token_obtained" && !yield(e.Name()) {
				return
			}
		}
	})
	if n := len(names); n < 2 || names[n-2] != "bankid_esign_token_failed" {
		t.Errorf("the events are %v", names)
	}
	// A failure that continues emits no further event.
	f.do("GET", path, "").is(502)
	f.issuer.HandleToken(nil)
	f.writeSecret("rotated")
	eventually(t, func() bool { return f.do("GET", path, "").StatusCode == 200 })
	if data = expectEvents(t, "bankid_esign_token_obtained")[0]; data["failed_attempts"] == 0 {
		t.Errorf("the data after a failure is %v", data)
	}
	showsNone(t, "the log", f.logged())
}

// Handlers are subscribed only after all apps have started, and the first token may
// come before that.
func TestEventsOfTheFirstTokenAreNotLost(t *testing.T) {
	f := newFixture(t)
	f.global = "events {\non bankid_esign_token_obtained bankid_esign_test\n}"
	for i := range 20 {
		f.app = fmt.Sprintf("timeout %ds", i+1) // the changed option makes another source
		f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
		expectEvents(t, "bankid_esign_token_obtained")
	}
}

// A configuration that fails to load has events to emit as well, and must not wait for
// ever for its start.
func TestEventsOfAConfigurationThatDoesNotStart(t *testing.T) {
	f := newFixture(t)
	site := strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1)
	f.start(site)
	f.app = "timeout 7s"                             // the changed option makes another source
	config := f.caddyfile(site + "\nbind 192.0.2.1") // not an address of this machine
	config = strings.Replace(config, "bind 127.0.0.1", "", 1)
	if err := caddy.Load(adapt(t, config), true); err == nil {
		t.Fatal("it started")
	}
	f.app = ""
	f.do("GET", path, "").is(200)
}

// The webhook of the example is called when there is no usable token any more.
func TestWebhookExample(t *testing.T) {
	hook := newUpstream(t)
	f := newFixture(t)
	f.global = "events {\non bankid_esign_token_unavailable webhook " + hook.URL + "/alert\n}"
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	})
	f.start(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	var posts []*call
	eventually(t, func() bool {
		posts = append(posts, hook.seen()...)
		return len(posts) > 0
	})
	var post struct {
		Type string
		Data struct{ Client, Cause, Code string }
	}
	if err := json.Unmarshal(posts[0].body, &post); err != nil {
		t.Fatal(err)
	}
	if post.Type != "bankid_esign_token_unavailable" || post.Data.Client != "default" || post.Data.Cause != "refused" || post.Data.Code != "invalid_client" {
		t.Errorf("the webhook got %s", posts[0].body)
	}
	// Neither further failures nor calls cause another post.
	f.do("GET", path, "").is(502)
	if posts = append(posts, hook.seen()...); len(posts) != 1 {
		t.Errorf("the webhook was called %d times", len(posts))
	}
}
