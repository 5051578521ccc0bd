package tokenauth

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/list"
)

const (
	// maxPlain is how many bytes of a body are read to understand it, both with its
	// codings and without them.
	maxPlain = 16 << 10

	// maxCodings is how many content codings of one body are decoded.
	maxCodings = 4
)

// plainBody returns the first 16 KiB of body, without its content codings (RFC 9110
// section 8.4.1) and without a byte order mark. header is the header that came with body.
// plainBody decodes gzip and deflate, the codings that a gateway.Transport offers to the
// server. It returns nil if the body has another coding, more than four codings, or is not valid in
// its coding.
func plainBody(header http.Header, body []byte) []byte {
	codings := make([]string, 0, maxCodings)
	for coding := range list.Elements(header["Content-Encoding"]) {
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

// decode returns the beginning of a body without one coding, or nil if it cannot decode it.
func decode(coding string, body []byte) []byte {
	switch coding {
	case "gzip", "x-gzip":
		if zip, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			return readPlain(zip)
		}
	case "deflate":
		// deflate is the format of zlib, but some servers send the data inside it alone.
		if z, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
			if plain := readPlain(z); plain != nil {
				return plain
			}
		}
		return readPlain(flate.NewReader(bytes.NewReader(body)))
	}
	return nil
}

// readPlain returns the first maxPlain bytes of r, or nil if r fails.
func readPlain(r io.Reader) []byte {
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain))
	if err != nil {
		return nil
	}
	return plain
}

// Decodes reports whether PlainBody can decode coding, the name of a content coding as in
// Accept-Encoding.
func Decodes(coding string) bool {
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip", "deflate", "identity":
		return true
	}
	return false
}
