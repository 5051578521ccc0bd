package caddyesign

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "bankid-esign",
		Usage: "<command>",
		Short: "Tools for the BankID eSign gateway",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(checkCommand(), statusCommand(), refreshCommand(),
				keygenCommand(), sandboxCommand(), versionCommand(), holdLockCommand())
			cmd.SetFlagErrorFunc(unchecked) // for all commands
			var names []string
			for _, sub := range cmd.Commands() {
				if !sub.Hidden {
					names = append(names, sub.Name())
				}
				valid := sub.Args
				sub.Args = func(cmd *cobra.Command, args []string) error { return unchecked(cmd, valid(cmd, args)) }
			}
			// Without RunE, an unknown command would print the help and succeed.
			cmd.DisableFlagsInUseLine = true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return nil
				}
				return unchecked(cmd, fmt.Errorf("unknown command '%s': must be one of %s", args[0], strings.Join(names, ", ")))
			}
		},
	})
}
