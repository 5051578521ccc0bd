package pades

import (
	"bytes"
	"crypto/sha256"
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

// A place is where a signature or a time-stamp goes.
type place struct {
	contents int // bytes
	dict     pdf.Dict
	seal     *Seal
	changes  bool // the author of a file can forbid it
	fill     func(digest []byte) ([]byte, error)
}

// byteRange has room for the largest file that a cross-reference table can have.
const byteRange = "[0 0000000000 0000000000 0000000000]"

// in appends an update to a file, with a field for the signature, and fills it. It writes
// to the capacity of file.
func (p place) in(file []byte) ([]byte, error) {
	document, err := pdf.Open(file)
	if err != nil {
		return nil, err
	}
	update, err := document.NewUpdate()
	if err != nil {
		return nil, err
	}
	dict := maps.Clone(p.dict)
	dict["ByteRange"] = pdf.Verbatim(byteRange)
	dict["Contents"] = pdf.Verbatim("<" + strings.Repeat("00", p.contents) + ">")
	f := form{document: document, update: update}
	value := update.Add(dict)
	if err := f.addField(value, p.seal, p.changes); err != nil {
		return nil, err
	}
	file, places, err := update.Append(withRoom(file, fileRoom))
	if err == nil {
		err = p.sign(file, places[value])
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}

// sign writes the signature into its dictionary, which is at a position of the file. In a
// dictionary, the names are in order, so that no text comes before these two.
func (p place) sign(file []byte, position int) error {
	covered := bytes.Index(file[position:], []byte(byteRange))
	start := bytes.Index(file[position:], []byte("/Contents <"))
	if covered < 0 || start < 0 {
		return errors.New("the place of the signature is lost")
	}
	covered += position
	start += position + len("/Contents ")
	end := start + 2*p.contents + len("<>")
	copy(file[covered:], fmt.Sprintf("[0 %010d %010d %010d]", start, end, len(file)-end))
	hash := sha256.New()
	hash.Write(file[:start])
	hash.Write(file[end:])
	contents, err := p.fill(hash.Sum(nil))
	switch {
	case err != nil:
		return err
	case len(contents) > p.contents:
		return fmt.Errorf("the signature has %d bytes, and there is room for %d", len(contents), p.contents)
	}
	hex.Encode(file[start+1:], contents)
	return nil
}

// withRoom returns a file with room for so many bytes after it.
func withRoom(file []byte, room int) []byte {
	if cap(file)-len(file) >= room {
		return file
	}
	roomy := make([]byte, len(file), len(file)+2*room)
	copy(roomy, file)
	return roomy
}
