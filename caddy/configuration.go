package caddyesign

import (
	"reflect"

	"github.com/caddyserver/caddy/v2"
)

// configuration returns the configuration that ctx belongs to, or nil if it cannot be
// found. The caller must not change it. Caddy does not give it to its modules, so it is
// read from a private field of ctx.
func configuration(ctx caddy.Context) *caddy.Config {
	field := reflect.ValueOf(ctx).FieldByName("cfg")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*caddy.Config]() {
		return nil
	}
	return (*caddy.Config)(field.UnsafePointer())
}
