package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// decodeSmall reads a small body that is one JSON value.
func decodeSmall(w http.ResponseWriter, r *http.Request, into any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, smallBody))
	if err := body.Decode(into); err != nil {
		return err
	}
	return decodeEnd(body)
}

// decodeObject reads a body that is one JSON object. After each name it has
// member read the value.
func decodeObject(body *json.Decoder, member func(name string) error) error {
	if err := expect(body, json.Delim('{'), "the body is not an object"); err != nil {
		return err
	}
	for body.More() {
		token, err := body.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // nothing else is a name
		if err := member(name); err != nil {
			return err
		}
	}
	if _, err := body.Token(); err != nil { // the object's end
		return err
	}
	return decodeEnd(body)
}

// decodeEnd makes sure that nothing follows the body's value.
func decodeEnd(body *json.Decoder) error {
	switch _, err := body.Token(); {
	case err == nil:
		return badOrder("the body has more than one JSON value")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// decodeList reads an array of documents one by one, and gives up at the first
// that is not good.
func decodeList[T any](body *json.Decoder, most int, check func(T) *orderError) ([]T, error) {
	if err := expect(body, json.Delim('['), "documents is not an array"); err != nil {
		return nil, err
	}
	var list []T
	for body.More() {
		if len(list) == most {
			return nil, badOrder("documents has more than %d elements", most)
		}
		var element T
		err := body.Decode(&element)
		known, ok := errors.AsType[*orderError](err)
		if err == nil {
			known = check(element)
		}
		switch {
		case known != nil:
			return nil, badOrder("document %d: %s", len(list)+1, known.reason)
		case err != nil && !ok:
			return nil, err
		}
		list = append(list, element)
	}
	_, err := body.Token() // the array's end
	return list, err
}

// expect reads the delimiter that starts an object or an array.
func expect(body *json.Decoder, start json.Delim, otherwise string) error {
	switch got, err := body.Token(); {
	case err != nil:
		return err
	case got != start:
		return badOrder("%s", otherwise)
	}
	return nil
}
