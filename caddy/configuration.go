package caddyesign

import (
	"reflect"

	"github.com/caddyserver/caddy/v2"
)

// configuration returns the configuration that ctx belongs to, which is not to be
// changed; nil if that is not known. Caddy keeps it from its modules, so that it is
// read where the context has it.
func configuration(ctx caddy.Context) *caddy.Config {
	field := reflect.ValueOf(ctx).FieldByName("cfg")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*caddy.Config]() {
		return nil
	}
	return (*caddy.Config)(field.UnsafePointer())
}
