package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// decodeSmall reads a small body that is one JSON value.
func decodeSmall(w http.ResponseWriter, r *http.Request, into any) error {
	body := newJSONReader(http.MaxBytesReader(w, r.Body, smallBody))
	if err := body.Decode(into); err != nil {
		return err
	}
	return body.end()
}

// decodeObject reads a body that is one JSON object. After each name it has
// member read the value.
func decodeObject(body jsonReader, member func(name string) error) error {
	if err := expect(body, json.Delim('{'), "the body is not an object"); err != nil {
		return err
	}
	if err := body.members(member); err != nil {
		return err
	}
	return body.end()
}

// decodeList reads an array of documents one by one, and gives up at the first
// that is not good.
func decodeList[T any](body jsonReader, most int, check func(T) *orderError) ([]T, error) {
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
		wrong, typed := errors.AsType[*memberError](err)
		switch {
		case err == nil:
			known = check(element)
		case typed:
			known, ok = badOrder("%s", strings.TrimSpace(wrong.member+" "+wrong.problem)), true
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
func expect(body jsonReader, start json.Delim, otherwise string) error {
	switch got, err := body.Token(); {
	case err != nil:
		return err
	case got != start:
		return badOrder("%s", otherwise)
	}
	return nil
}
