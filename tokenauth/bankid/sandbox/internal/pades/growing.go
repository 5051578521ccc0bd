package pades

import (
	"crypto/sha256"
	"errors"
	"hash"
	"slices"
)

// A growing is a file to whose end updates are added. What it began with stays as it is,
// so it is hashed once for all signatures and time-stamps.
type growing struct {
	data   []byte
	hash   hash.Cloner // SHA-256 of the first bytes; nil before there is room
	hashed int         // number of these bytes
}

// newGrowing does not write to the capacity of file.
func newGrowing(file []byte) *growing { return &growing{data: slices.Clip(file)} }

// reserve makes room for so many bytes at the end.
func (g *growing) reserve(room int) error {
	if cap(g.data)-len(g.data) >= room {
		return nil
	}
	data := make([]byte, len(g.data), len(g.data)+2*room)
	if g.hash != nil {
		copy(data, g.data)
		g.data = data
		return nil
	}
	var ok bool
	if g.hash, ok = sha256.New().(hash.Cloner); !ok {
		return errors.New("a hash cannot be copied")
	}
	// A block is still in the cache of the processor when it is hashed.
	const block = 32 << 10
	for start := 0; start < len(data); start += block {
		end := min(start+block, len(data))
		copy(data[start:end], g.data[start:end])
		g.hash.Write(data[start:end])
	}
	g.data, g.hashed = data, len(data)
	return nil
}

// digest returns the SHA-256 hash of all but what is between start and end. There must
// have been room.
func (g *growing) digest(start, end int) ([]byte, error) {
	hash, err := g.hash.Clone()
	if err != nil {
		return nil, err
	}
	hash.Write(g.data[g.hashed:start])
	hash.Write(g.data[end:])
	return hash.Sum(nil), nil
}
