package tokenauth

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxPlain is as much, in bytes, of a body as is read to understand it, with its
	// codings and without.
	maxPlain = 16 << 10

	// maxCodings is how many content codings of one body are undone.
	maxCodings = 4
)

// PlainBody returns a body that came with header as it is without its content codings
// (RFC 9110 section 8.4.1), and without a byte order mark: the first 16 KiB at most.
// It reads gzip and deflate, which are what a Transport lets the server choose from.
// It returns nil if the body has another coding, or is not what its coding says.
func PlainBody(header http.Header, body []byte) []byte {
	codings := make([]string, 0, maxCodings)
	for coding := range elements(header["Content-Encoding"]) {
		if strings.EqualFold(coding, "identity") {
			continue
		}
		if len(codings) == maxCodings {
			return nil
		}
		codings = append(codings, strings.ToLower(coding))
	}
	for _, coding := range slices.Backward(codings) { // in the order in which they were applied
		if body = decode(coding, body); body == nil {
			return nil
		}
	}
	return bytes.TrimPrefix(body[:min(len(body), maxPlain)], byteOrderMark)
}

// decode returns the beginning of a body without one coding; nil if that cannot be.
func decode(coding string, body []byte) []byte {
	switch coding {
	case "gzip", "x-gzip":
		if zip, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			return readPlain(zip)
		}
	case "deflate":
		// It is zlib's format, and some send what is within that.
		if z, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
			if plain := readPlain(z); plain != nil {
				return plain
			}
		}
		return readPlain(flate.NewReader(bytes.NewReader(body)))
	}
	return nil
}

// readPlain reads as much of r as is needed, nil if it fails.
func readPlain(r io.Reader) []byte {
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain))
	if err != nil {
		return nil
	}
	return plain
}

// readable are the codings that can be undone, as Accept-Encoding names them.
func readable(coding string) bool {
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip", "deflate", "identity":
		return true
	}
	return false
}

// acceptEncoding returns the fields Accept-Encoding that leave for those of the
// caller: what it accepts and PlainBody can read, since error bodies must be read on
// their way; identity if that is nothing.
func acceptEncoding(fields []string) []string {
	if !slices.ContainsFunc(fields, limits) {
		return fields
	}
	a := acceptance{}
	for element := range elements(fields) {
		a.add(element)
	}
	return []string{a.String()}
}

// limits reports whether the field Accept-Encoding must not leave as it is.
func limits(field string) bool {
	empty := true
	for element := range strings.SplitSeq(field, ",") {
		coding, _, _ := strings.Cut(element, ";")
		if coding = strings.Trim(coding, " \t"); coding == "" {
			continue
		}
		empty = false
		if !readable(coding) {
			return true
		}
	}
	return empty // which means identity, and some take for all
}

// An acceptance is what Accept-Encoding says, as far as it concerns what is readable.
type acceptance struct {
	codings []weighted
	others  *weighted // what "*" says
}

// weighted is one coding with its weight (RFC 9110 section 12.4.2).
type weighted struct {
	coding string
	weight string // as written
	none   bool   // it is zero
}

// add adds one element of the list. One that cannot be read says nothing.
func (a *acceptance) add(element string) {
	coding, parameter, has := strings.Cut(element, ";")
	w := weighted{coding: strings.TrimRight(coding, " \t"), weight: "1"}
	if has {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		q, err := strconv.ParseFloat(value, 64)
		if !strings.EqualFold(name, "q") || strings.Trim(value, "0123456789.") != "" || err != nil || q > 1 {
			return
		}
		w.weight, w.none = value, q == 0
	}
	switch {
	case w.coding == "*":
		a.others = &w
	case readable(w.coding):
		a.codings = append(a.codings, w)
	}
}

// String returns the field that leaves.
func (a *acceptance) String() string {
	var list []string
	accepted := false
	for _, w := range a.complete() {
		if w.none && !strings.EqualFold(w.coding, "identity") {
			continue // left out says the same
		}
		accepted = accepted || !w.none
		if w.weight == "1" {
			list = append(list, w.coding)
		} else {
			list = append(list, w.coding+";q="+w.weight)
		}
	}
	if !accepted {
		return "identity"
	}
	return strings.Join(list, ", ")
}

// complete returns what is said of the codings, with those that "*" stands for.
func (a *acceptance) complete() []weighted {
	if a.others == nil {
		return a.codings
	}
	all := a.codings
	for _, coding := range []string{"gzip", "deflate", "identity"} {
		if !slices.ContainsFunc(a.codings, func(w weighted) bool { return strings.EqualFold(strings.TrimPrefix(w.coding, "x-"), coding) }) {
			all = append(all, weighted{coding, a.others.weight, a.others.none})
		}
	}
	return all
}

// elements returns the elements of the list that fields have together (RFC 9110
// section 5.6.1).
func elements(fields []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, field := range fields {
			for element := range strings.SplitSeq(field, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}
