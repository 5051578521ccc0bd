package archive

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"time"
)

// encode returns the form of an id for keys.
func encode(i id) string { return hex.EncodeToString(i[:]) }

// A Loss is a download that was under way in a process that is gone.
type Loss struct {
	// Label is the label that For was called with.
	Label []string

	// Begun is when the download began, by the clock of that process.
	Begun time.Time
}

// markAAD is the associated data of a mark.
func markAAD(name string, i id) []byte { return append([]byte("mark "+name+" "), i[:]...) }

// sealMark returns a mark. No two marks are equal, since each has a new nonce.
func (s *sealer) sealMark(name string, i id, loss Loss) ([]byte, error) {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(loss); err != nil {
		return nil, err
	}
	return s.aead.Seal(i[:], nil, text.Bytes(), markAAD(name, i)), nil //nolint:gosec // it makes its own nonce
}

// idOf returns the id in a mark. ok is false if the value is not a mark.
func idOf(mark []byte) (i id, ok bool) { return i, copy(i[:], mark) == len(i) }

// openMark returns what a mark says.
func (s *sealer) openMark(name string, mark []byte) (Loss, error) {
	var loss Loss
	i, ok := idOf(mark)
	if !ok {
		return loss, errChanged
	}
	text, err := s.aead.Open(nil, nil, mark[len(i):], markAAD(name, i))
	if err != nil {
		return loss, errChanged
	}
	return loss, gob.NewDecoder(bytes.NewReader(text)).Decode(&loss)
}
