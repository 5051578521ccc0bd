package caddyesign

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// checkDuration returns an error if d, the value of the field called name, is negative
// or too short to be meant. A number without a unit means nanoseconds.
func checkDuration(name string, d caddy.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("%s must not be negative", name)
	case d > 0 && time.Duration(d) < time.Millisecond:
		return fmt.Errorf("%s %v is too short to be meant: write it with a unit, as in \"10s\"", name, time.Duration(d))
	}
	return nil
}
