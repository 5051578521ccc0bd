package caddyesign

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// warnOpenAdmin says at every load that the admin endpoint lets every user of this
// machine have what only some of them may read: with a configuration of theirs, this
// process sends it where they like.
func (a *App) warnOpenAdmin(cfg *caddy.Config) {
	if cfg == nil || a.sandbox != nil { // whose credentials are published
		return
	}
	address, open := openAdmin(cfg.Admin)
	if !open {
		return
	}
	var private []string
	clients := maps.Clone(a.Clients)
	if clients == nil {
		clients = make(map[string]*Client)
	}
	clients[""] = &a.Client
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		if clients[name] == nil {
			continue
		}
		for _, field := range clients[name].fields() {
			if field.secret && isPrivate(*field.value) {
				private = append(private, clientLabel(name)+" "+field.name)
			}
		}
	}
	if len(private) > 0 {
		a.logger.Warn("every user of this machine can load a configuration that sends these credentials elsewhere, which not all of them may read: have the admin endpoint listen on a socket of your own, as by 'admin unix//run/esign-gateway/admin.sock|0600', or say 'admin off'",
			zap.String("admin", address), zap.Strings("credentials", private))
	}
}

// openAdmin returns the address of the admin endpoint, and whether every user of this
// machine can make requests to it. What it asks of the Host and Origin of a request keeps
// browsers out, not programs. The remote endpoint asks for a certificate, and is not
// looked at; nor is a socket that this process was started with (`fd/3`), since its
// permissions are set elsewhere.
func openAdmin(admin *caddy.AdminConfig) (address string, open bool) {
	if admin != nil && admin.Disabled {
		return "", false
	}
	address, err := adminAddress(admin)
	if err != nil {
		return "", false // it cannot be listened on
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	switch {
	case err != nil, parsed.IsFdNetwork():
		return address, false
	case !parsed.IsUnixNetwork(), strings.HasPrefix(parsed.Host, "@"): // which has no permissions
		return address, true
	}
	_, mode, ok := strings.Cut(parsed.Host, "|")
	if !ok {
		return address, false // by default, it is its owner's
	}
	bits, err := strconv.ParseUint(mode, 8, 32)
	return address, err == nil && bits&0o002 != 0
}

// isPrivate reports whether a secret, as it is typed, is one that not every user of
// this machine can read, as far as that can be told. The environment is shown to the
// user of the process alone. What is written out is shown by the admin endpoint.
func isPrivate(secret string) bool {
	if secret == "" {
		return false
	}
	names := placeholders(secret)
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		path, ok := strings.CutPrefix(name, "file.")
		return !ok || !readableByAll(path)
	})
}

// readableByAll reports whether every user of this machine can read a file: by the
// permissions of the file and of the directories that it is in. A file that is not
// there counts as one.
func readableByAll(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return !errors.Is(err, fs.ErrPermission)
	}
	for needed := fs.FileMode(0o004); ; needed = 0o001 {
		info, err := os.Stat(path)
		if err != nil {
			return !errors.Is(err, fs.ErrPermission)
		}
		if info.Mode()&needed == 0 {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}
