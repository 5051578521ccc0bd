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

// warnOpenAdmin warns, at every load, if every user of this machine can reach the admin
// endpoint, and a credential is not readable for all of them: with a configuration of
// their own, they could make this process send the credential anywhere. clients are the
// configured clients by name.
func warnOpenAdmin(logger *zap.Logger, admin *caddy.AdminConfig, clients map[string]*Client) {
	address, open := openAdmin(admin)
	if !open {
		return
	}
	var private []string
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		for _, field := range clients[name].fields() {
			if field.secret && isPrivate(*field.value) {
				private = append(private, clientLabel(name)+" "+field.name)
			}
		}
		if clients[name].PrivateKeyRaw != nil {
			private = append(private, clientLabel(name)+" private_key")
		}
		if clients[name].DPoPKeyRaw != nil {
			private = append(private, clientLabel(name)+" dpop_key")
		}
	}
	if len(private) > 0 {
		logger.Warn("every user of this machine can load a configuration that sends these credentials elsewhere, which not all of them may read: have the admin endpoint listen on a socket of your own, as by 'admin unix//run/esign-gateway/admin.sock|0600', or set 'admin off'",
			zap.String("admin", address), zap.Strings("credentials", private))
	}
}

// openAdmin returns the address of the admin endpoint, and whether every user of this
// machine can make requests to it. The endpoint's checks of Host and Origin keep
// browsers out, not programs. The remote endpoint is left out of account, since it
// requires a certificate. So is a socket that this process inherited (`fd/3`), since
// its permissions are set elsewhere.
func openAdmin(admin *caddy.AdminConfig) (address string, open bool) {
	if admin != nil && admin.Disabled {
		return "", false
	}
	address, err := adminAddress(admin)
	if err != nil {
		return "", false // nothing can listen on it
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	switch {
	case err != nil, parsed.IsFdNetwork():
		return address, false
	case !parsed.IsUnixNetwork(), strings.HasPrefix(parsed.Host, "@"): // an abstract socket has no permissions
		return address, true
	}
	_, mode, ok := strings.Cut(parsed.Host, "|")
	if !ok {
		return address, false // by default, only its owner has access
	}
	bits, err := strconv.ParseUint(mode, 8, 32)
	return address, err == nil && bits&0o002 != 0
}

// isPrivate reports whether not every user of this machine can read a secret, given as
// it is typed, as far as that is known. Only the user of the process can see its
// environment. A secret that is written out counts as private: the admin endpoint is
// what shows it.
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

// readableByAll reports whether every user of this machine can read a file, by the
// permissions of the file and of the directories above it. A file that does not exist
// counts as readable.
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

// adminAddress returns the address of the admin endpoint that admin configures. The
// endpoint must not be disabled.
func adminAddress(admin *caddy.AdminConfig) (string, error) {
	if admin == nil || admin.Listen == "" {
		return caddy.DefaultAdminListen, nil
	}
	return caddy.NewReplacer().ReplaceOrErr(admin.Listen, true, true) // as Caddy does
}
