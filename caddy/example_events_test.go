package caddyesign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
)

func init() {
	caddy.RegisterModule(Webhook{})
}

// Webhook is an event handler that posts events to a URL, as CloudEvents in JSON:
//
//	{
//		events {
//			on bankid_esign_token_unavailable webhook https://alerts.example/bankid
//		}
//	}
type Webhook struct {
	// The URL to post to.
	URL string `json:"url,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Webhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.webhook", New: func() caddy.Module { return new(Webhook) }}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	webhook <url>
func (w *Webhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume handler name
	if !d.AllArgs(&w.URL) {
		return d.ArgErr()
	}
	return nil
}

// Handle posts an event.
func (w *Webhook) Handle(ctx context.Context, e caddy.Event) error {
	body, err := json.Marshal(e.CloudEvent())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("webhook responded with %s", res.Status)
	}
	return nil
}

// Events tell other modules about tokens. This module calls a webhook when there is no
// usable token any more.
func ExampleApp_events() {
	var handler caddyevents.Handler = new(Webhook)
	var emitter caddy.App = new(caddyesign.App)
	fmt.Println(handler.(caddy.Module).CaddyModule().ID, "handles events of", emitter.(caddy.Module).CaddyModule().ID)
	// Output: events.handlers.webhook handles events of bankid_esign
}
