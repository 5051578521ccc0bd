package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// errForgets is the error if a storage does not have what was stored.
var errForgets = errors.New("the storage does not have what was stored")

// Probe returns an error if the storage does not keep a piece of the largest size. It
// leaves nothing behind that the storage lets it delete.
func (a *Archive) Probe(ctx context.Context) error {
	value := make([]byte, download.PieceSize+sealOverhead)
	_, _ = rand.Read(value) // it never fails
	key := prefix + "/probe." + encode(newID())
	defer a.delete(context.WithoutCancel(ctx), key) //nolint:errcheck // the sweep deletes it
	if err := a.store(ctx, key, value); err != nil {
		return err
	}
	got, err := a.load(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errForgets
	case err == nil && !bytes.Equal(got, value):
		return errChanged
	}
	return err
}
