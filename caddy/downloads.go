package caddyesign

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Downloads says whether and where signed documents are kept that were downloaded, so
// that a caller whose transfer broke off can get them again. The download of a document
// destroys BankID's copy.
type Downloads struct {
	// Where downloads are kept: `off` (nowhere: a download ends with its caller), `memory`
	// (of this server, until it stops), or `storage` (Caddy's storage, encrypted, so that
	// they outlive the server, and every server with the same storage can hand them
	// over). Default: `memory`.
	Mode string `json:"mode,omitempty"`

	// How long a download is kept after it is whole. Default: `10m`.
	Keep caddy.Duration `json:"keep,omitempty"`

	// The keys that seal the downloads in the storage: random texts of 32 characters or
	// more, such as `{file./run/secrets/seal}`. The first one seals, all of them open, so
	// that a key can be replaced. They are read anew for every download. Default: a key
	// that is derived from the client's secret or private key.
	SealKeys []string `json:"seal_keys,omitempty"`
}

// These are the values of Downloads.Mode.
const (
	downloadsOff     = "off"
	downloadsMemory  = "memory"
	downloadsStorage = "storage"
)

const (
	// defaultKeep is how long a download is kept.
	defaultKeep = 10 * time.Minute

	// longKeep is the time from which on keeping a download causes a warning.
	longKeep = time.Hour

	// minSealKey is the smallest length of a seal key, in bytes.
	minSealKey = 32
)

// keep returns how long a download is kept.
func (d *Downloads) keep() time.Duration {
	if d == nil || d.Keep == 0 {
		return defaultKeep
	}
	return time.Duration(d.Keep)
}

// mode returns where downloads are kept.
func (d *Downloads) mode() string {
	if d == nil || d.Mode == "" {
		return downloadsMemory
	}
	return d.Mode
}

// validate returns an error if the fields contradict each other, as far as this is known
// without resolving placeholders.
func (d *Downloads) validate() error {
	if d == nil {
		return nil
	}
	switch mode := d.mode(); mode {
	case downloadsOff:
		if d.Keep != 0 {
			return errors.New("downloads off keeps nothing, so it has no keep: leave keep out, or write 'downloads memory' or 'downloads storage'")
		}
	case downloadsMemory, downloadsStorage:
	default:
		return fmt.Errorf("unknown downloads '%s': must be %s, %s or %s", mode, downloadsOff, downloadsMemory, downloadsStorage)
	}
	if d.Keep < 0 {
		return errors.New("keep of downloads must be a positive duration such as 10m; to keep nothing, write 'downloads off'")
	}
	if err := checkDuration("keep of downloads", d.Keep); err != nil {
		return err
	}
	if len(d.SealKeys) > 0 && d.mode() != downloadsStorage {
		return fmt.Errorf("seal_key is for 'downloads storage': with '%s', nothing is stored", d.mode())
	}
	for _, key := range d.SealKeys {
		if err := checkSealKey(key); err != nil {
			return fmt.Errorf("seal_key: %v", err)
		}
	}
	return nil
}

// checkSealKey returns an error if a key cannot be used, as far as this is known without
// resolving placeholders.
func checkSealKey(typed string) error {
	if err := checkSecretPlaceholders(typed); err != nil {
		return err
	}
	if len(placeholders(typed)) > 0 {
		return nil
	}
	return checkSealKeyLength(typed)
}

// A shortSealKeyError is the error for a key that is too short. It is the length in bytes.
type shortSealKeyError int

// Error implements error.
func (n shortSealKeyError) Error() string {
	return fmt.Sprintf("the key has %d characters, and must have at least %d: make one with 'openssl rand -hex 32'", int(n), minSealKey)
}

// checkSealKeyLength returns an error if a resolved key is too short.
func checkSealKeyLength(key string) error {
	if n := len(strings.TrimSpace(key)); n < minSealKey {
		return shortSealKeyError(n)
	}
	return nil
}

// sealKeys resolves the keys. The error shows nothing of them. It is a shortSealKeyError if a
// key is too short.
func (d *Downloads) sealKeys() ([][]byte, error) {
	keys := make([][]byte, 0, len(d.SealKeys))
	for _, typed := range d.SealKeys {
		key, err := resolve(typed)
		if err == nil {
			err = checkSealKeyLength(key)
		}
		if err != nil {
			return nil, fmt.Errorf("seal_key%s: %w", from(typed), err)
		}
		keys = append(keys, []byte(strings.TrimSpace(key)))
	}
	return keys, nil
}

// provision validates the option, and warns about what is allowed and may not be meant.
func (d *Downloads) provision(logger *zap.Logger) error {
	if d == nil {
		return nil
	}
	if err := d.validate(); err != nil {
		return err
	}
	if keep := d.keep(); keep > longKeep {
		logger.Warn("downloads are kept for more than an hour, which your data protection rules may not allow; ten minutes are enough for a caller to try again",
			zap.Duration("keep", keep))
	}
	if slices.ContainsFunc(d.SealKeys, func(typed string) bool { return len(placeholders(typed)) == 0 }) {
		logger.Warn("a seal_key is written out in the configuration, where it shows; use a placeholder such as {file./run/secrets/seal}")
	}
	_, err := d.sealKeys()
	if _, short := errors.AsType[shortSealKeyError](err); short {
		return err
	}
	if err != nil {
		logger.Warn("a seal_key cannot be read; until it can, downloads are kept in memory only", zap.Error(err))
	}
	return nil
}

// unmarshalCaddyfile sets up the option from Caddyfile tokens. Syntax:
//
//	downloads off|memory|storage {
//	    keep     <duration>
//	    seal_key <key...>
//	}
func (d *Downloads) unmarshalCaddyfile(disp *caddyfile.Dispenser) error {
	if err := onceString(disp, &d.Mode); err != nil {
		return err
	}
	if err := (&Downloads{Mode: d.Mode}).validate(); err != nil {
		return disp.WrapErr(err)
	}
	for nesting := disp.Nesting(); disp.NextBlock(nesting); {
		switch disp.Val() {
		case "keep":
			if err := onceDuration(disp, &d.Keep); err != nil {
				return err
			}
		case "seal_key":
			keys := disp.RemainingArgs()
			if len(keys) == 0 {
				return disp.Err("seal_key has no value; if one is written as {$NAME}, that variable is not set")
			}
			d.SealKeys = append(d.SealKeys, keys...)
		default:
			return unrecognized(disp, "keep, seal_key")
		}
		if err := d.validate(); err != nil {
			return disp.WrapErr(err)
		}
	}
	return nil
}
