package tokenauth

import (
	"bytes"
	"encoding/json"
)

// members are the members of a JSON object, not decoded. So a member of a wrong type does
// not make the others unreadable. The code that needs a member decodes it; a wrong type
// counts as missing.
type members map[string]json.RawMessage

// byteOrderMark is the byte order mark that some programs write before UTF-8. A sender of
// JSON must not write it, and a reader may ignore it (RFC 8259 section 8.1).
var byteOrderMark = []byte("\ufeff")

// parseMembers reads a JSON object.
func parseMembers(text []byte) (m members, err error) {
	err = json.Unmarshal(bytes.TrimPrefix(text, byteOrderMark), &m)
	return m, err
}

// text returns the member name if it is a string, else "".
func (m members) text(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

// texts returns the strings in the array name. It returns nil if there is no such array, or
// if it has elements but no strings.
func (m members) texts(name string) []string {
	var values []any
	if json.Unmarshal(m[name], &values) != nil || values == nil {
		return nil
	}
	texts := make([]string, 0, len(values))
	for _, value := range values {
		if s, ok := value.(string); ok {
			texts = append(texts, s)
		}
	}
	if len(texts) == 0 && len(values) > 0 {
		return nil
	}
	return texts
}

// says reports whether the member name has another value than null, false, zero or an empty
// string, array or object.
func (m members) says(name string) bool {
	var value any
	if json.Unmarshal(m[name], &value) != nil {
		return false
	}
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case float64:
		return value != 0
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	case map[string]any:
		return len(value) > 0
	}
	return true
}
