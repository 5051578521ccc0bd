package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// maxManifest is the size, in bytes, of the largest manifest that is read.
const maxManifest = 1 << 20

// A ticket is the part of a manifest that can be read without a key, so that every
// process can delete a download when its time is over.
type ticket struct {
	ID     id
	Expiry int64 // in milliseconds since 1970; later than that of the content while a caller reads
	Pieces uint32
}

// ticketSize is the size of an encoded ticket, in bytes.
var ticketSize = binary.Size(ticket{})

// expiry returns when the download is deleted.
func (t ticket) expiry() time.Time { return time.UnixMilli(t.Expiry) }

// A content is the encrypted part of a manifest.
type content struct {
	Key   []byte // of the pieces
	Until int64  // when the time of the download is over, in milliseconds since 1970
	Meta  download.Meta
}

// until returns when the download's time is over.
func (c content) until() time.Time { return time.UnixMilli(c.Until) }

// readTicket returns the ticket of a manifest.
func readTicket(manifest []byte) (ticket, error) {
	var t ticket
	if len(manifest) > maxManifest {
		return t, errChanged
	}
	if _, err := binary.Decode(manifest, binary.BigEndian, &t); err != nil {
		return t, errChanged
	}
	return t, nil
}

// manifestAAD is the associated data of a manifest.
func manifestAAD(key download.Key, plain []byte) []byte {
	return append(append([]byte("manifest "), key[:]...), plain...)
}

// sealManifest returns the manifest of the download at key.
func (s *sealer) sealManifest(key download.Key, t ticket, c content) ([]byte, error) {
	plain, err := binary.Append(nil, binary.BigEndian, t)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer // not JSON: field values need not be UTF-8
	if err := gob.NewEncoder(&text).Encode(c); err != nil {
		return nil, err
	}
	return s.aead.Seal(plain, nil, text.Bytes(), manifestAAD(key, plain)), nil //nolint:gosec // it makes its own nonce
}

// openManifest returns the parts of a manifest of the download at key.
func (s *sealer) openManifest(key download.Key, manifest []byte) (ticket, content, error) {
	var c content
	t, err := readTicket(manifest)
	if err != nil {
		return t, c, err
	}
	text, err := s.aead.Open(nil, nil, manifest[ticketSize:], manifestAAD(key, manifest[:ticketSize]))
	if err != nil {
		return t, c, errChanged
	}
	return t, c, gob.NewDecoder(bytes.NewReader(text)).Decode(&c)
}

// pieces returns the number of pieces of a content of the given length.
func pieces(length int64) int64 { return (length + download.PieceSize - 1) / download.PieceSize }
