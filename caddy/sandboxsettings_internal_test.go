package caddyesign

import (
	"encoding/json"
	"net"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// Each assumption of the sandbox is a setting, with the same name in snake case, and the
// documentation lists it.
func TestEverySandboxSetting(t *testing.T) {
	var settings SandboxSettings
	byValue := make(map[any]string)
	for _, setting := range settings.all() {
		byValue[setting.value] = setting.name
	}
	words := regexp.MustCompile("([a-z])([A-Z])|([A-Z])([A-Z][a-z])")
	check := func(options reflect.Value, fields ...string) {
		for _, field := range fields {
			name := strings.ReplaceAll(field, "SignDoc", "Signdoc")
			want := strings.ToLower(words.ReplaceAllString(name, "${1}${3}_${2}${4}"))
			if got := byValue[options.FieldByName(field).Addr().Interface()]; got != want {
				t.Errorf("%s is the setting %q, want %q", field, got, want)
			}
		}
	}
	options := reflect.ValueOf(&settings.options).Elem()
	check(options, "TokenLifetime", "SigningDelay", "Manual", "AuthorizePage")
	assumptions := options.FieldByName("Assumptions")
	for i := range assumptions.NumField() {
		check(assumptions, assumptions.Type().Field(i).Name)
	}
}

func TestSandboxSettings(t *testing.T) {
	want := sandbox.Options{TokenLifetime: 30 * time.Second, SigningDelay: time.Hour, Manual: true, AuthorizePage: sandbox.AuthorizeNever, Assumptions: sandbox.Assumptions{
		SignDocForbids: true, CreatedOrder: 200, StateMember: "status", ExtendWithoutScope: true, SharedOrders: true, UnfinishedOrder: 409, OrderRetention: 48 * time.Hour, CodeLifetime: 1500 * time.Millisecond,
		ServiceTokenLifetime: time.Minute, SADLifetime: time.Second, B2BNonce: true, IgnoreProofQuery: true,
		BadProof: "invalid_request", BadExchange: "invalid_token", TokenType: "Bearer",
	}}
	app := new(App)
	d := caddyfile.NewTestDispenser(`bankid_esign {
		sandbox {
			token_lifetime 30s
			signing_delay 1h
			manual
			authorize_page never
			signdoc_forbids
			created_order 200
			state_member status
			extend_without_scope
			unfinished_order 409
			order_retention 2d
			code_lifetime 1.5s
			service_token_lifetime 1m
			sad_lifetime 1s
			shared_orders
			b2b_nonce
			ignore_proof_query
			bad_proof invalid_request
			bad_exchange invalid_token
			token_type Bearer
		}
		environment sandbox
	}`)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(app.Sandbox.options, want) {
		t.Errorf("the Caddyfile has %+v", app.Sandbox.options)
	}
	text := caddyconfig.JSON(app, nil)
	if !strings.Contains(string(text), `"code_lifetime":"1.5s"`) {
		t.Errorf("the JSON is %s", text)
	}
	again := new(App)
	if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(again.Sandbox.options, want) {
		t.Errorf("the JSON has %+v, %v", again.Sandbox, err)
	}

	cmd := sandboxCommand()
	var settings SandboxSettings
	cmd.ResetFlags()
	settings.addFlags(cmd)
	err := cmd.ParseFlags([]string{
		"--token-lifetime=30s", "--signing-delay", "1h", "--manual", "--authorize-page", "never", "--signdoc-forbids", "--created-order", "200",
		"--state-member", "status", "--extend-without-scope", "--unfinished-order", "409", "--order-retention", "2d",
		"--code-lifetime", "1.5s", "--service-token-lifetime", "1m", "--sad-lifetime", "1s", "--shared-orders", "--b2b-nonce", "--ignore-proof-query",
		"--bad-proof", "invalid_request", "--bad-exchange", "invalid_token", "--token-type", "Bearer",
	})
	if err != nil || !reflect.DeepEqual(settings.options, want) {
		t.Errorf("the flags have %+v, %v", settings.options, err)
	}
}

func TestSandboxSettingsRefusals(t *testing.T) {
	for block, want := range map[string]string{
		"sandbox {\nlifetime 1s\n}":                          "unrecognized setting 'lifetime' of the sandbox: must be one of token_lifetime, signing_delay, ",
		"sandbox {\ncode_lifetime 1s\ncode_lifetime 2s\n}":   "code_lifetime already specified",
		"sandbox {\ncode_lifetime\n}":                        "wrong argument count",
		"sandbox {\ncode_lifetime 1s 2s\n}":                  "wrong argument count",
		"sandbox {\ncode_lifetime 30\n}":                     "bad code_lifetime '30'",
		"sandbox {\ncode_lifetime 30ns\n}":                   "too short to be meant",
		"sandbox {\ntoken_lifetime 1500ms\n}":                "whole seconds",
		"sandbox {\nunfinished_order 200\n}":                 "not from 400 to 499",
		"sandbox {\nunfinished_order 0\n}":                   "bad unfinished_order '0'",
		"sandbox {\ncreated_order 202\n}":                    "sandbox: created_order 202 is neither 200 nor 201",
		"sandbox {\ntoken_type {env.TYPE}\n}":                "bad token_type '{env.TYPE}': placeholders are not replaced here",
		"sandbox {\ntoken_type \"\"\n}":                      "token_type must not be empty",
		"sandbox {\nb2b_nonce true\n}":                       "wrong argument count",
		"sandbox now":                                        "wrong argument count",
		"sandbox {\nb2b_nonce\n}\nsandbox {\nb2b_nonce\n}":   "sandbox already specified",
		"environment current\nsandbox {\nb2b_nonce\n}":       "sandbox is for environment sandbox only",
		"sandbox {\nb2b_nonce\n}\nissuer https://op.example": "sandbox is for environment sandbox only",
	} {
		err := new(App).UnmarshalCaddyfile(caddyfile.NewTestDispenser("bankid_esign {\n" + block + "\n}"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%q: %v, want %q", block, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"lifetime": "1s"}`:         "unrecognized setting 'lifetime'",
		`{"code_lifetime": 30}`:      "too short to be meant",
		`{"code_lifetime": "soon"}`:  "bad code_lifetime of the sandbox",
		`{"code_lifetime": "-1s"}`:   "must not be negative",
		`{"unfinished_order": "x"}`:  "bad unfinished_order of the sandbox",
		`{"signdoc_forbids": "yes"}`: "bad signdoc_forbids of the sandbox",
		`{"created_order": 202}`:     "sandbox: created_order 202 is neither",
		`[]`:                         "array",
	} {
		if err := json.Unmarshal([]byte(text), new(SandboxSettings)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A reload that changes no setting keeps the sandbox, and one that does gets a new one.
func TestSandboxIsRenewed(t *testing.T) {
	server, err := newSandboxServer(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.serving = server.serveAt(ln)
	defer server.Destruct()
	first := server.bankID.Load()
	if err := server.serve(sandbox.Options{}); err != nil || server.bankID.Load() != first {
		t.Errorf("without a change, there is another sandbox; error %v", err)
	}
	changed := sandbox.Options{TokenLifetime: 7 * time.Second}
	if err := server.serve(changed); err != nil || server.bankID.Load() == first {
		t.Errorf("after a change, there is the same sandbox; error %v", err)
	}
	if err := server.serve(sandbox.Options{TokenLifetime: time.Millisecond}); err == nil {
		t.Error("no error for wrong options")
	}
}

// The sandbox has the default client, and any other without its credentials.
func TestSandboxSuppliesClients(t *testing.T) {
	parse := func(environment string) error {
		return new(App).UnmarshalCaddyfile(caddyfile.NewTestDispenser("bankid_esign {\nclient seal\nenvironment " + environment + "\n}"))
	}
	if err := parse("sandbox"); err != nil {
		t.Error(err)
	}
	if err := parse("current"); err == nil || !strings.Contains(err.Error(), "Testfile:2") || !strings.Contains(err.Error(), "client 'seal': client_id is missing") {
		t.Errorf("in another environment: %v", err)
	}
	app := &App{Environment: "sandbox", Clients: map[string]*Client{"seal": nil}, sandbox: new(sandboxServer)}
	for name, want := range map[string]string{"": "", "other": "no client 'other' is configured"} {
		if _, err := app.client(name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
		if err := app.checkClient(name); (err == nil) != (want == "") {
			t.Errorf("%q in a Caddyfile: %v", name, err)
		}
	}
}
