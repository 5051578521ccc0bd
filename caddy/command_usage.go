package caddyesign

import (
	"fmt"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// exitUnchecked is the exit status for wrong usage, and for a configuration that cannot
// be loaded. For other failures it is 1.
const exitUnchecked = 2

// unchecked makes the command end with the status exitUnchecked, if err is not nil. It
// prints err as cobra does, because Caddy would log it, which in a pipe is JSON.
func unchecked(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	cmd.PrintErrln(cmd.ErrPrefix(), err.Error())
	cmd.SilenceErrors = true
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitUnchecked, nil })(cmd, nil)
}

// noArguments refuses arguments. A user who gives one has probably forgotten a flag,
// while cobra.NoArgs would report an unknown command. advice names the flag, if that is
// clear.
func noArguments(advice string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return nil
		case advice == "":
			return fmt.Errorf("unexpected argument '%s'", args[0])
		}
		return fmt.Errorf("unexpected argument '%s': %s", args[0], advice)
	}
}
