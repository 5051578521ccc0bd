package sandbox

import (
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
)

// A jsonReader reads requests as encoding/json does, with three differences: a member has
// the name that is documented, in the same case; text that is not Unicode is an
// error; and a [memberError] names the member that is wrong.
type jsonReader struct {
	*json.Decoder

	// strict says that an unknown member is an error, and so is null.
	strict bool
}

func newJSONReader(body io.Reader) jsonReader {
	return jsonReader{Decoder: json.NewDecoder(&unicodeReader{from: body})}
}

// A memberError says what is wrong with a member of a JSON object.
type memberError struct {
	member  string // with those around it, such as "document.pdf"; "" is the whole body
	problem string
}

func (e *memberError) Error() string {
	if e.member == "" {
		return "the body " + e.problem
	}
	return e.member + " " + e.problem
}

// jsonFault returns what is wrong with the text or a member of a body, and otherwise for
// an error about JSON's syntax.
func jsonFault(err error, otherwise string) string {
	_, ok := errors.AsType[*memberError](err)
	if ok || errors.Is(err, errNotUTF8) || errors.Is(err, errLoneSurrogate) {
		return err.Error()
	}
	return otherwise
}

// Decode reads the next value.
func (r jsonReader) Decode(into any) error { return r.member("", into) }

// member reads the value of a member.
func (r jsonReader) member(name string, into any) error {
	return r.value(name, reflect.ValueOf(into).Elem())
}

func (r jsonReader) value(name string, into reflect.Value) error {
	switch {
	case readsItself(into):
		return r.leaf(name, into)
	case into.Kind() == reflect.Struct:
		_, err := r.object(name, into)
		return err
	case into.Kind() == reflect.Slice && into.Type().Elem().Kind() != reflect.Uint8:
		return r.list(name, into)
	case into.Kind() == reflect.Pointer:
		return r.optional(name, into)
	}
	return r.leaf(name, into)
}

// readsItself reports whether encoding/json leaves the value to its own method.
func readsItself(value reflect.Value) bool {
	switch value.Addr().Interface().(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return false
}

// start reads the beginning of an object or a list, and reports whether there is one:
// null leaves a value as it is.
func (r jsonReader) start(name string, delimiter json.Delim, kind string) (bool, error) {
	switch got, err := r.Token(); {
	case err != nil:
		return false, err
	case got == delimiter:
		return true, nil
	case got == nil && !r.strict:
		return false, nil
	case got == nil:
		return false, &memberError{name, "is null"}
	default:
		return false, &memberError{name, "must be " + kind}
	}
}

// object reads an object, and reports whether there is one.
func (r jsonReader) object(name string, into reflect.Value) (bool, error) {
	if ok, err := r.start(name, '{', "a JSON object"); !ok {
		return false, err
	}
	fields := make(map[string]reflect.Value)
	collectFields(into, fields)
	return true, r.members(func(member string) error {
		path := strings.TrimPrefix(name+"."+member, ".")
		field, known := fields[member]
		switch {
		case known:
			return r.value(path, field)
		case r.strict:
			return &memberError{abridged(path), "is not a member of this request"}
		default:
			return r.skip()
		}
	})
}

// members reads the rest of an object. After each name, it calls read for the value.
func (r jsonReader) members(read func(name string) error) error {
	for r.More() {
		token, err := r.Token()
		name, _ := token.(string) // nothing else is a name
		if err == nil {
			err = read(name)
		}
		if err != nil {
			return tooEarly(err)
		}
	}
	_, err := r.Token() // the object's
	return tooEarly(err)
}

// tooEarly tells an end within a value from that of an empty body.
func tooEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip reads a value that has no effect.
func (r jsonReader) skip() error { return r.Decoder.Decode(new(json.RawMessage)) }

// collectFields adds the fields of a struct, by the names of their members.
func collectFields(of reflect.Value, fields map[string]reflect.Value) {
	for i := range of.NumField() {
		field := of.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name != "" && name != "-":
			fields[name] = of.Field(i)
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			collectFields(of.Field(i), fields)
		}
	}
}

func (r jsonReader) list(name string, into reflect.Value) error {
	if ok, err := r.start(name, '[', "a JSON array"); !ok {
		return err
	}
	list := reflect.MakeSlice(into.Type(), 0, 0)
	for r.More() {
		element := reflect.New(into.Type().Elem()).Elem()
		if err := r.value(name, element); err != nil {
			return tooEarly(err)
		}
		list = reflect.Append(list, element)
	}
	into.Set(list)
	_, err := r.Token() // the list's
	return tooEarly(err)
}

// optional reads a value that may be left out. A null counts as left out.
func (r jsonReader) optional(name string, into reflect.Value) error {
	if into.Type().Elem().Kind() == reflect.Struct {
		value := reflect.New(into.Type().Elem())
		ok, err := r.object(name, value.Elem())
		if ok {
			into.Set(value)
		}
		return err
	}
	return r.leaf(name, into)
}

// leaf reads a value without members.
func (r jsonReader) leaf(name string, into reflect.Value) error {
	var text json.RawMessage
	if err := r.Decoder.Decode(&text); err != nil {
		return err
	}
	if r.strict && string(text) == "null" {
		return &memberError{name, "is null"}
	}
	if _, ok := reflect.TypeAssert[*[]byte](into.Addr()); ok && text[0] == '[' { // encoding/json would take it
		return &memberError{name, "must be a string"}
	}
	err := json.Unmarshal(text, into.Addr().Interface())
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &memberError{name, "must be " + kindInJSON(into.Type())}
	}
	return err
}

// kindInJSON says what a value of a type is in JSON.
func kindInJSON(of reflect.Type) string {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch {
	case of == reflect.TypeFor[duration]():
		return `a string such as "5s"`
	case of.Kind() == reflect.Bool:
		return "true or false"
	case of.Kind() == reflect.Int:
		return "an integer"
	default:
		return "a string"
	}
}

// end makes sure that nothing follows the body's value.
func (r jsonReader) end() error {
	switch _, err := r.Token(); {
	case err == nil:
		return &memberError{"", "has more than one JSON value"}
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
