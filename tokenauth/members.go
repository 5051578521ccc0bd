package tokenauth

import (
	"bytes"
	"encoding/json"
)

// members are those of a JSON object, each by itself: one that is of another type
// than it should be does not spoil the others. What is needed is looked at by whoever
// needs it; all else counts as left out then.
type members map[string]json.RawMessage

// byteOrderMark is what some programs put before UTF-8. JSON that is sent must not
// have one, and who reads it may ignore it (RFC 8259 section 8.1).
var byteOrderMark = []byte("\ufeff")

// parseMembers reads an object.
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

// texts returns those of the array name that are strings; nil if there is no such
// array, or it has nothing but others.
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

// says reports whether the member name says anything: null, false, zero, and what is
// empty do not.
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
