package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestUnicodeReader(t *testing.T) {
	for text, want := range map[string]error{
		``:                        nil,
		`"a"`:                     nil,
		`"Kjøp€𝄞"`:                nil,
		`"\ud834\udd1e \\ud834 "`: nil,
		`"\uD834\uDD1E\n"`:        nil,
		"\"\xe6\"":                errNotUTF8,
		"\"\xc3":                  errNotUTF8,
		"\"\xed\xa0\x80\"":        errNotUTF8,
		"\"\xf0\x9d\"":            errNotUTF8,
		"{\"\xe6\":1}":            errNotUTF8,
		`"\ud834"`:                errLoneSurrogate,
		`"\ud834\n"`:              errLoneSurrogate,
		`"\ud834\ud834\udd1e"`:    errLoneSurrogate,
		`"\udd1e"`:                errLoneSurrogate,
		`"\\\ud834x\udd1e"`:       errLoneSurrogate,
		`"` + strings.Repeat("€", 1000) + "\xe2\x82\"": errNotUTF8,
	} {
		for _, from := range []io.Reader{
			strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text)),
		} {
			got, err := io.ReadAll(&unicodeReader{from: from})
			if !errors.Is(err, want) || want == nil && string(got) != text {
				t.Errorf("%q: %q, error %v, want %v", text, got, err, want)
			}
		}
	}
}

func TestJSONReader(t *testing.T) {
	type inner struct {
		Text *string `json:"text"`
	}
	type outer struct {
		inner

		Number int             `json:"number"`
		Flag   bool            `json:"flag"`
		Bytes  []byte          `json:"bytes"`
		Names  []string        `json:"names"`
		Inner  *inner          `json:"inner"`
		List   []inner         `json:"list"`
		Raw    json.RawMessage `json:"raw"`
	}
	for text, want := range map[string]struct{ loose, strict string }{
		`{"text":"a","number":1,"flag":true,"bytes":"YQ==","names":["a"],"inner":{"text":"b"},"list":[{},{"text":"c"}],"raw":{"A":1}}`: {},
		`{"Text":1}`:            {"", "Text is not a member of this request"},
		`{"inner":{"TEXT":1}}`:  {"", "inner.TEXT is not a member of this request"},
		`{"text":null}`:         {"", "text is null"},
		`{"inner":null}`:        {"", "inner is null"},
		`{"names":[null]}`:      {"", "names is null"},
		`null`:                  {"", "the body is null"},
		`[]`:                    {"the body must be a JSON object", "the body must be a JSON object"},
		`{"number":"1"}`:        {"number must be an integer", "number must be an integer"},
		`{"number":1.5}`:        {"number must be an integer", "number must be an integer"},
		`{"flag":0}`:            {"flag must be true or false", "flag must be true or false"},
		`{"text":{}}`:           {"text must be a string", "text must be a string"},
		`{"bytes":[1]}`:         {"bytes must be a string", "bytes must be a string"},
		`{"names":"a"}`:         {"names must be a JSON array", "names must be a JSON array"},
		`{"names":[1]}`:         {"names must be a string", "names must be a string"},
		`{"inner":[]}`:          {"inner must be a JSON object", "inner must be a JSON object"},
		`{"list":[{"text":1}]}`: {"list.text must be a string", "list.text must be a string"},
		`{} {}`:                 {"the body has more than one JSON value", "the body has more than one JSON value"},
	} {
		for _, strict := range []bool{false, true} {
			r := newJSONReader(strings.NewReader(text))
			r.strict = strict
			var into outer
			err := r.Decode(&into)
			if err == nil {
				err = r.end()
			}
			expected := want.loose
			if strict {
				expected = want.strict
			}
			if got := message(err); got != expected {
				t.Errorf("%s, strict %v: error %q, want %q", text, strict, got, expected)
			}
			if expected == "" && strict && (*into.Text != "a" || *into.Inner.Text != "b" || *into.List[1].Text != "c" || string(into.Bytes) != "a") {
				t.Errorf("read %+v", into)
			}
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
