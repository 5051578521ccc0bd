package caddyesign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// SandboxSettings are how long things last in the sandbox, and what it assumes of BankID
// where BankID does not say. In JSON, it is an object with these members. Durations are
// strings such as `30s`, as everywhere in Caddy.
//
// Member | Meaning | Default
// -------|---------|--------
// `token_lifetime` | How long access tokens live, in whole seconds | `5m`
// `signing_delay` | How long an order waits until it is complete by itself | `1s`
// `manual` | Whether an order of SignDoc waits until somebody signs or rejects it | false: it is complete after `signing_delay`
// `authorize_page` | Who sees the page of CSC's authorize endpoint: `browsers`, `always` or `never` | `browsers`
// `code_lifetime` | How long authorization codes of CSC live | `1m`
// `service_token_lifetime` | How long service tokens of CSC live, in whole seconds | `5m`
// `sad_lifetime` | How long signature activation data of CSC live, in whole seconds | `1m`
// `order_retention` | How long an order can be collected, from its creation | `2h`
// `created_order` | The status of the response to a new order of SignDoc v1 or timestamping: 201 or 200 | 201
// `state_member` | The member with the state of an order of SignDoc v1 or timestamping: `orderState` or `status` | `orderState`
// `extend_without_scope` | Whether an order may ask for `extendToLTA` without the scope `esign/qtsa` | false
// `unfinished_order` | The status for the download of an order that is not complete | 400
// `shared_orders` | Whether every client may ask for and download the orders of others | false: they are 404
// `signdoc_forbids` | Whether SignDoc v1 refuses a token with 403, as SignDoc v0 does | false: with 401
// `b2b_nonce` | Whether B2B demands a nonce in each DPoP proof | false
// `ignore_proof_query` | Whether the URL of a DPoP proof may have a query | false
// `bad_proof` | The error code of the token endpoint for a bad DPoP proof: `invalid_dpop_proof` or `invalid_request` | `invalid_dpop_proof`
// `bad_exchange` | The error code of CSC's token route for a bad token: `invalid_client` or `invalid_token` | `invalid_client`
// `token_type` | How the token endpoint spells the type of bearer tokens | `bearer`
type SandboxSettings struct{ options sandbox.Options }

// A sandboxSetting is a setting of the sandbox. In a Caddyfile and in JSON, it has its
// name; as a flag, there are hyphens in it.
type sandboxSetting struct {
	name  string
	usage string
	value any // a pointer to time.Duration, int, bool or string
}

// all returns the settings, with pointers to their values.
func (s *SandboxSettings) all() []sandboxSetting {
	options, assume := &s.options, &s.options.Assumptions
	return []sandboxSetting{
		{"token_lifetime", "How long access tokens live (default 5m)", &options.TokenLifetime},
		{"signing_delay", "How long an order waits until it is complete by itself (default 1s)", &options.SigningDelay},
		{"manual", "An order of SignDoc waits until somebody signs or rejects it", &options.Manual},
		{"authorize_page", "Who sees the page of CSC's authorize endpoint: browsers (default), always or never", &options.AuthorizePage},
		{"code_lifetime", "How long authorization codes of CSC live (default 1m)", &assume.CodeLifetime},
		{"service_token_lifetime", "How long service tokens of CSC live (default 5m)", &assume.ServiceTokenLifetime},
		{"sad_lifetime", "How long signature activation data of CSC live (default 1m)", &assume.SADLifetime},
		{"order_retention", "How long an order can be collected, from its creation (default 2h)", &assume.OrderRetention},
		{"created_order", "The status of the response to a new order of SignDoc v1 or timestamping: 201 (default) or 200", &assume.CreatedOrder},
		{"state_member", "The member with the state of such an order: orderState (default) or status", &assume.StateMember},
		{"extend_without_scope", "An order may ask for extendToLTA without the scope esign/qtsa", &assume.ExtendWithoutScope},
		{"unfinished_order", "The status for the download of an order that is not complete (default 400)", &assume.UnfinishedOrder},
		{"shared_orders", "Every client may ask for and download the orders of others", &assume.SharedOrders},
		{"signdoc_forbids", "SignDoc v1 refuses a token with 403 (default: with 401)", &assume.SignDocForbids},
		{"b2b_nonce", "B2B demands a nonce in each DPoP proof", &assume.B2BNonce},
		{"ignore_proof_query", "The URL of a DPoP proof may have a query", &assume.IgnoreProofQuery},
		{"bad_proof", "The token endpoint's error code for a bad DPoP proof: invalid_dpop_proof (default) or invalid_request", &assume.BadProof},
		{"bad_exchange", "The error code of CSC's token route for a bad token: invalid_client (default) or invalid_token", &assume.BadExchange},
		{"token_type", "How the token endpoint spells the type of bearer tokens (default bearer)", &assume.TokenType},
	}
}

// find returns the setting with a name.
func (s *SandboxSettings) find(name string) (sandboxSetting, error) {
	var names []string
	for _, setting := range s.all() {
		if setting.name == name {
			return setting, nil
		}
		names = append(names, setting.name)
	}
	return sandboxSetting{}, fmt.Errorf("unrecognized setting '%s' of the sandbox: must be one of %s", name, strings.Join(names, ", "))
}

// isSet reports whether the setting has a value.
func (s sandboxSetting) isSet() bool {
	switch value := s.value.(type) {
	case *time.Duration:
		return *value != 0
	case *int:
		return *value != 0
	case *bool:
		return *value
	case *string:
		return *value != ""
	}
	return false
}

// String implements pflag.Value: it returns the value, or "" if it is not set.
func (s sandboxSetting) String() string {
	if !s.isSet() {
		return ""
	}
	switch value := s.value.(type) {
	case *time.Duration:
		return value.String()
	case *int:
		return strconv.Itoa(*value)
	case *bool:
		return "true"
	case *string:
		return *value
	}
	return ""
}

// validate returns the error of the options, with the names of the settings.
func (s *SandboxSettings) validate() error {
	err := s.options.Validate()
	if err == nil {
		return nil
	}
	text := err.Error()
	assume := reflect.ValueOf(&s.options.Assumptions).Elem()
	for _, setting := range s.all() {
		for i := range assume.NumField() {
			if assume.Field(i).Addr().Interface() == setting.value {
				text = strings.Replace(text, "assumptions: "+assume.Type().Field(i).Name+" ", setting.name+" ", 1)
			}
		}
	}
	return errors.New(text)
}

// Set implements pflag.Value.
func (s sandboxSetting) Set(text string) error {
	if strings.Contains(text, "{") {
		return fmt.Errorf("bad %s '%s': placeholders are not replaced here; {$NAME} is, in a Caddyfile", s.name, text)
	}
	switch value := s.value.(type) {
	case *time.Duration:
		d, err := caddy.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("bad %s '%s': must be a positive duration such as 30s", s.name, text)
		}
		*value = d
		return checkDuration(s.name, caddy.Duration(d))
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return fmt.Errorf("bad %s '%s': must be a positive number", s.name, text)
		}
		*value = n
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("bad %s '%s': must be true or false", s.name, text)
		}
		*value = b
	case *string:
		if text == "" {
			return fmt.Errorf("%s must not be empty", s.name)
		}
		*value = text
	}
	return nil
}

// Type implements pflag.Value.
func (s sandboxSetting) Type() string {
	switch s.value.(type) {
	case *time.Duration:
		return "duration"
	case *int:
		return "int"
	case *bool:
		return "bool"
	}
	return "string"
}

// addFlags adds a flag to cmd for each setting.
func (s *SandboxSettings) addFlags(cmd *cobra.Command) {
	for _, setting := range s.all() {
		flag := cmd.Flags().VarPF(setting, strings.ReplaceAll(setting.name, "_", "-"), "", setting.usage)
		if setting.Type() == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
}

// unmarshalCaddyfile sets the settings from the block of the subdirective that d has just
// read.
func (s *SandboxSettings) unmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		setting, err := s.find(d.Val())
		if err != nil {
			return d.WrapErr(err)
		}
		if setting.isSet() {
			return d.Errf("%s already specified", setting.name)
		}
		text := "true"
		if setting.Type() == "bool" {
			if d.NextArg() {
				return d.ArgErr()
			}
		} else if !d.AllArgs(&text) {
			return d.ArgErr()
		}
		if err := setting.Set(text); err != nil {
			return d.WrapErr(err)
		}
		if err := s.validate(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (s SandboxSettings) MarshalJSON() ([]byte, error) {
	members := make(map[string]any)
	for _, setting := range s.all() {
		switch {
		case !setting.isSet():
		case setting.Type() == "duration":
			members[setting.name] = setting.String()
		default:
			members[setting.name] = setting.value
		}
	}
	return json.Marshal(members)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *SandboxSettings) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	for name, member := range members {
		setting, err := s.find(name)
		if err != nil {
			return err
		}
		if duration, ok := setting.value.(*time.Duration); ok {
			err = errors.Join((*caddy.Duration)(duration).UnmarshalJSON(bytes.TrimSpace(member)), checkDuration(name, caddy.Duration(*duration)))
		} else {
			err = json.Unmarshal(member, setting.value)
		}
		if err != nil {
			return fmt.Errorf("bad %s of the sandbox: %v", name, err)
		}
	}
	return s.validate()
}

// Interface guards
var (
	_ json.Marshaler   = SandboxSettings{}
	_ json.Unmarshaler = (*SandboxSettings)(nil)
)
