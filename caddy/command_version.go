package caddyesign

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
)

// modulePath is the Go module that this package belongs to.
const modulePath = "github.com/esigngateway/caddy-bankid-esign"

// versionCommand returns the command that prints the versions of the running program.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the versions of the gateway and of Caddy",
		Args:  noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, full := caddy.Version()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s, Caddy %s\n", defaultProxyName, version(), full)
			return err
		},
	}
}

// version returns the version of this module that the program was built with, or
// "(devel)" if it was built from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	return moduleVersion(info)
}

// moduleVersion finds the version of this module in a program's build information.
func moduleVersion(info *debug.BuildInfo) string {
	for _, mod := range append(info.Deps, &info.Main) {
		if mod.Path != modulePath {
			continue
		}
		if mod.Replace != nil && mod.Replace.Version != "" {
			mod = mod.Replace
		}
		if mod.Version != "" {
			return mod.Version
		}
	}
	return "(devel)"
}
