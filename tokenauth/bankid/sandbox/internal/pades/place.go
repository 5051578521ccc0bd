package pades

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// contentsRoom is how many bytes a signature or a time-stamp may have, in addition to
// given certificates.
const contentsRoom = 8 << 10

// fileRoom is how much a file may grow before it moves in memory.
const fileRoom = 256 << 10

// contentsStart is how the contents begin.
const contentsStart = "\n/Contents <"

// A place is where a signature or a time-stamp goes.
type place struct {
	contents int // bytes
	dict     pdf.Dict
	seal     *Seal
	changes  bool // an earlier signature can forbid it
	fill     func(digest []byte) ([]byte, error)
}

// byteRange has room for the largest file that a cross-reference table can have.
const byteRange = "[0 0000000000 0000000000 0000000000]"

// in adds an update to a file, with a field for the signature, and fills it.
func (p place) in(g *growing) error {
	document, update, err := update(g)
	if err != nil {
		return err
	}
	dict := maps.Clone(p.dict)
	dict["ByteRange"] = pdf.Verbatim(byteRange)
	dict["Contents"] = pdf.Verbatim("<" + strings.Repeat("00", p.contents) + ">")
	f := form{document: document, update: update}
	value := update.Add(dict)
	if err := f.addField(value, p.seal, p.changes); err != nil {
		return err
	}
	if err := g.reserve(fileRoom); err != nil {
		return err
	}
	file, places, err := update.Append(g.data)
	if err != nil {
		return err
	}
	g.data = file
	return p.sign(g, places[value])
}

// update begins an update of a file.
func update(g *growing) (*pdf.Document, *pdf.Update, error) {
	document, err := pdf.Open(g.data)
	if err != nil {
		return nil, nil, err
	}
	update, err := document.NewUpdate()
	return document, update, err
}

// sign writes the signature into its dictionary, which is at a position of the file. In a
// dictionary, the names are in order, so that no text comes before ByteRange, and each is on
// a line of its own. A text has no line break that is not escaped.
func (p place) sign(g *growing, position int) error {
	covered := bytes.Index(g.data[position:], []byte(byteRange))
	start := bytes.Index(g.data[position:], []byte(contentsStart))
	if covered < 0 || start < 0 {
		return errors.New("the place of the signature is lost")
	}
	covered += position
	start += position + len(contentsStart) - len("<")
	end := start + 2*p.contents + len("<>")
	copy(g.data[covered:], fmt.Sprintf("[0 %010d %010d %010d]", start, end, len(g.data)-end))
	digest, err := g.digest(start, end)
	if err != nil {
		return err
	}
	contents, err := p.fill(digest)
	switch {
	case err != nil:
		return err
	case len(contents) > p.contents:
		return fmt.Errorf("the signature has %d bytes, and there is room for %d", len(contents), p.contents)
	}
	hex.Encode(g.data[start+1:], contents)
	return nil
}
