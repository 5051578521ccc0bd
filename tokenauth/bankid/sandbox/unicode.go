package sandbox

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errNotUTF8       = errors.New("the body is not UTF-8")
	errLoneSurrogate = errors.New("the body has half of a surrogate pair")
)

// A unicodeReader passes JSON on, and fails where it has text that is not Unicode: bytes
// that are not UTF-8 (RFC 8259, section 8.1), and the escape of one half of a surrogate
// pair without the other (section 8.2). encoding/json makes U+FFFD of both.
type unicodeReader struct {
	from io.Reader

	begun  []byte // of a character whose rest has not come yet
	escape []byte // of an escape whose rest has not come yet, from its backslash on
	high   bool   // the first half of a pair came last
}

func (u *unicodeReader) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if wrong := u.check(p[:n]); wrong != nil {
		return 0, wrong
	}
	if errors.Is(err, io.EOF) && len(u.begun) > 0 {
		return 0, errNotUTF8
	}
	return n, err
}

func (u *unicodeReader) check(text []byte) error {
	if !u.isUTF8(text) {
		return errNotUTF8
	}
	if !u.isPaired(text) {
		return errLoneSurrogate
	}
	return nil
}

func (u *unicodeReader) isUTF8(text []byte) bool {
	for len(u.begun) > 0 && len(text) > 0 {
		u.begun, text = append(u.begun, text[0]), text[1:]
		if !utf8.FullRune(u.begun) {
			continue
		}
		if !utf8.Valid(u.begun) {
			return false
		}
		u.begun = u.begun[:0]
	}
	for i := len(text) - 1; i >= max(0, len(text)-utf8.UTFMax); i-- {
		if !utf8.RuneStart(text[i]) {
			continue
		}
		if !utf8.FullRune(text[i:]) {
			u.begun = append(u.begun, text[i:]...)
			text = text[:i]
		}
		break
	}
	return utf8.Valid(text)
}

// isPaired looks at the escapes. What is no escape in JSON, encoding/json refuses.
func (u *unicodeReader) isPaired(text []byte) bool {
	for len(text) > 0 {
		if len(u.escape) == 0 {
			i := bytes.IndexByte(text, '\\')
			if u.high && i != 0 {
				return false
			}
			if i < 0 {
				return true
			}
			u.escape, text = append(u.escape, '\\'), text[i+1:]
			continue
		}
		u.escape, text = append(u.escape, text[0]), text[1:]
		if u.escape[1] == 'u' && len(u.escape) < len(`\u0000`) {
			continue
		}
		if !u.escaped() {
			return false
		}
		u.escape = u.escape[:0]
	}
	return true
}

// escaped reports whether a whole escape may come after what was before it.
func (u *unicodeReader) escaped() bool {
	unit, err := strconv.ParseUint(string(u.escape[2:]), 16, 16)
	surrogate := err == nil && utf16.IsSurrogate(rune(unit))
	low := surrogate && unit >= 0xdc00
	if u.high != low {
		return false
	}
	u.high = surrogate && !low
	return true
}
