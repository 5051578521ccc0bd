package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/esigngateway/caddy-bankid-esign"

// programs are the paths of the programs.
type programs struct {
	dir                                      string // where runs have their files
	gateway, bare, stock, oauth2Proxy, nginx string
}

// buildPrograms builds the programs into dir, as xcaddy does. It finds nginx if that is a
// contender.
func buildPrograms(ctx context.Context, dir string, withNginx bool) (programs, error) {
	p := programs{
		dir: dir, gateway: filepath.Join(dir, "gateway"), bare: filepath.Join(dir, "bare"), stock: filepath.Join(dir, "stock"), oauth2Proxy: filepath.Join(dir, "oauth2proxy"),
	}
	if withNginx {
		var err error
		if p.nginx, err = findNginx([]string{"nginx", "/usr/sbin/nginx"}); err != nil {
			return p, err
		}
	}
	for path, pkg := range map[string]string{
		p.gateway:     module + "/caddy/esigncaddy",
		p.bare:        module + "/caddy/bench/barecaddy",
		p.stock:       module + "/caddy/bench/stockcaddy",
		p.oauth2Proxy: module + "/caddy/bench/oauth2proxy",
	} {
		progress("building %s", filepath.Base(path))
		if _, err := output(ctx, "go", "build", "-trimpath", "-tags=nobadger,nomysql,nopgx", "-ldflags=-s -w", "-o", path, pkg); err != nil {
			return p, err
		}
	}
	return p, nil
}

// findNginx returns the first of the paths that has nginx, which is not always in PATH.
func findNginx(paths []string) (string, error) {
	for _, path := range paths {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New("nginx is not installed: 'apt-get install --no-install-recommends nginx', or name other contenders with -contenders")
}

// output runs a program and returns what it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // named in this package
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
