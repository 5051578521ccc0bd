package caddyesign

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// archiveKey identifies an archive by its client and its storage.
type archiveKey [sha256.Size]byte

// downloadArchive keeps a client's downloads in a storage. It remembers former seal keys
// until the last configuration that uses it has gone.
type downloadArchive struct{ *archive.Archive }

// Destruct implements caddy.Destructor.
func (a downloadArchive) Destruct() error {
	a.Close()
	return nil
}

// sealPurpose is the purpose of the key that is derived from a client's credential.
const sealPurpose = "bankid_esign/downloads/v1/seal_key"

// errNoArchive is the error if there is no archive of an earlier configuration.
var errNoArchive = errors.New("nothing was stored")

// archive returns the archive for the downloads of the client called name. If downloads are not
// kept in the storage, that is the one of an earlier configuration, which hands over and deletes
// what was stored, or nil.
func (a *App) archive(name string, client Client) (*archive.Archive, error) {
	if used := a.archives[name]; used != nil {
		return used, nil
	}
	stores := a.Downloads.mode() == downloadsStorage
	credentials := client.credentials
	if a.sandbox != nil {
		credentials = sandboxCredentials(false)
	} else if stores && len(a.Downloads.SealKeys) == 0 && client.ClientSecret == "" && client.PrivateKey == "" {
		return nil, fmt.Errorf("client '%s' has no secret to derive a key from, so 'downloads storage' needs a seal_key: make one with 'openssl rand -hex 32', and write seal_key {file./run/secrets/seal} in its block", clientLabel(name))
	}
	key, err := digest(struct{ Issuer, ClientID, Storage string }{a.env.Issuer, client.ClientID, storageIdentity(a.certmagic)})
	if err != nil {
		return nil, err
	}
	fresh := false
	used, err := use(&a.refs, archiveKey(key), func() (downloadArchive, error) {
		if !stores {
			return downloadArchive{}, errNoArchive
		}
		fresh = true
		return downloadArchive{archive.New()}, nil
	})
	if errors.Is(err, errNoArchive) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	a.detach = append(a.detach, used.Attach(archive.Settings{
		Storage: a.certmagic, Keep: a.Downloads.keep(),
		Secrets: func() ([][]byte, error) {
			if !stores {
				return nil, nil // those from before are used
			}
			return a.sealSecrets(credentials)
		},
		Lost: func(loss archive.Loss) { logLoss(a.logger, loss) },
	}))
	a.archives[name] = used.Archive
	if fresh {
		a.fresh = append(a.fresh, used.Archive)
	}
	return used.Archive, nil
}

// sealSecrets returns the secrets that seal downloads: those of the option, or one that is
// derived from the client's credential.
func (a *App) sealSecrets(credentials func() (tokenauth.Credentials, error)) ([][]byte, error) {
	if len(a.Downloads.SealKeys) > 0 {
		return a.Downloads.sealKeys()
	}
	c, err := credentials()
	if err != nil {
		return nil, err
	}
	secret, err := c.Derive(sealPurpose, minSealKey)
	if err != nil {
		return nil, err
	}
	return [][]byte{secret}, nil
}

// storageIdentity returns a text that differs for storages that differ. It is used in a
// hash only, since it may show a password.
func storageIdentity(s certmagic.Storage) string {
	enc, err := digest(s)
	if err != nil { // its module cannot be marshalled
		return fmt.Sprintf("%T", s)
	}
	return fmt.Sprintf("%T %x", s, enc)
}

// probeArchives warns if the storage does not keep downloads. It uses the network, so it
// runs in the background.
func (a *App) probeArchives(ctx context.Context) {
	for _, fresh := range a.fresh {
		if err := fresh.Probe(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("the storage does not keep downloads, so they are kept in memory only; use a storage that can hold values of 1 MiB and that Caddy can write to, or write 'downloads memory'",
				zap.Error(err))
			return // it is the same storage for all
		}
	}
}

// downloadCutOff is the label of the metric for a download that was cut off with its
// gateway.
const downloadCutOff = "cut_off"

// logLoss logs and counts a download that was cut off with its gateway, as far as the storage tells.
func logLoss(logger *zap.Logger, loss archive.Loss) {
	downloadEvents.WithLabelValues(downloadCutOff).Inc()
	fields := []zap.Field{zap.Time("begun", loss.Begun)}
	if len(loss.Label) == 2 {
		fields = append(fields, zap.String("api", loss.Label[0]), zap.String("order", loss.Label[1]))
	}
	logger.With(fields...).Warn("download lost: it was cut off with its gateway, or that does not reach the storage any more and has it in memory only")
}

// Interface guards
var (
	_ caddy.Destructor = downloadArchive{}
	_ archive.Storage  = certmagic.Storage(nil)
)
