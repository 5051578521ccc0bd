package caddyesign

import (
	"runtime/debug"
	"testing"
)

func TestVersionIsThatOfTheModule(t *testing.T) {
	other := &debug.Module{Path: "example.com/other", Version: "v9.0.0"}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":  {Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{other, {Path: modulePath, Version: "v1.2.3"}}},
		"v1.2.4":  {Deps: []*debug.Module{{Path: modulePath, Version: "v0.0.0", Replace: &debug.Module{Path: "fork", Version: "v1.2.4"}}}},
		"v0.0.1":  {Deps: []*debug.Module{{Path: modulePath, Version: "v0.0.1", Replace: &debug.Module{Path: "../.."}}}},
		"v1.2.5":  {Main: debug.Module{Path: modulePath, Version: "v1.2.5"}},
		"(devel)": {Deps: []*debug.Module{other}},
	} {
		if got := moduleVersion(info); got != want {
			t.Errorf("%+v is version %s, want %s", info, got, want)
		}
	}
}
