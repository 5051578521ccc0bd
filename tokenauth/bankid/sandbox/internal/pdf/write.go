package pdf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Verbatim is written as it is, whatever it stands for. Nothing that is read is of this
// type.
type Verbatim string

// appendValue appends an object of any type but [*Stream]. An object that was read is
// written so that it reads the same.
func appendValue(to []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(to, "null"...)
	case bool:
		return strconv.AppendBool(to, value)
	case int:
		return strconv.AppendInt(to, int64(value), 10)
	case float64:
		return strconv.AppendFloat(to, value, 'f', -1, 64)
	case Name:
		return appendName(to, value)
	case String:
		return appendString(to, value)
	case Verbatim:
		return append(to, value...)
	case Ref:
		return fmt.Appendf(to, "%d %d R", value.Number, value.Generation)
	case Array:
		to = append(to, '[')
		for i, element := range value {
			if i > 0 {
				to = append(to, ' ')
			}
			to = appendValue(to, element)
		}
		return append(to, ']')
	case Dict:
		to = append(to, "<<"...)
		for _, name := range slices.Sorted(maps.Keys(value)) {
			to = append(appendName(append(to, '\n'), name), ' ')
			to = appendValue(to, value[name])
		}
		return append(to, "\n>>"...)
	default:
		panic(fmt.Sprintf("a %T is not written into a PDF", value))
	}
}

func appendName(to []byte, name Name) []byte {
	to = append(to, '/')
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '#' || isDelimiter(c) {
			to = fmt.Appendf(to, "#%02X", c)
		} else {
			to = append(to, c)
		}
	}
	return to
}

func appendString(to []byte, text String) []byte {
	if slices.ContainsFunc([]byte(text), func(c byte) bool { return c < ' ' || c > '~' }) {
		return fmt.Appendf(to, "<%X>", string(text))
	}
	to = append(to, '(')
	for _, c := range []byte(text) {
		if c == '(' || c == ')' || c == '\\' {
			to = append(to, '\\')
		}
		to = append(to, c)
	}
	return append(to, ')')
}

// appendObject appends an indirect object.
func appendObject(to []byte, ref Ref, value any) []byte {
	to = fmt.Appendf(to, "%d %d obj\n", ref.Number, ref.Generation)
	if stream, ok := value.(*Stream); ok {
		dict := maps.Clone(stream.Dict)
		if dict == nil {
			dict = make(Dict)
		}
		dict["Length"] = len(stream.Data)
		to = append(appendValue(to, dict), "\nstream\n"...)
		to = append(append(to, stream.Data...), "\nendstream"...)
	} else {
		to = appendValue(to, value)
	}
	return append(to, "\nendobj\n"...)
}

// Text returns a text string (ISO 32000-1, section 7.9.2.2): ASCII if that is enough,
// and otherwise UTF-16.
func Text(text string) String {
	if !slices.ContainsFunc([]byte(text), func(c byte) bool { return c > '~' }) {
		return String(text)
	}
	out := []byte{0xfe, 0xff}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.BigEndian.AppendUint16(out, unit)
	}
	return String(out)
}

// DecodeText returns what a text string says. It is UTF-16 or UTF-8 (ISO 32000-2, section
// 7.9.2.2) if it says so, and is otherwise taken for ASCII.
func DecodeText(text String) string {
	if rest, ok := strings.CutPrefix(string(text), "\xfe\xff"); ok {
		units := make([]uint16, 0, len(rest)/2)
		for ; len(rest) > 1; rest = rest[2:] {
			units = append(units, uint16(rest[0])<<8|uint16(rest[1]))
		}
		return string(utf16.Decode(units))
	}
	return strings.TrimPrefix(string(text), "\xef\xbb\xbf")
}
