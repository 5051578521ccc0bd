package retry

import (
	"io"
	"net/http"
	"time"
)

// TokenLife is how long a token must be valid when a call begins whose body cannot be sent
// in a retry.
const TokenLife = time.Minute

// maxDrain is how many bytes of a response Drain reads.
const maxDrain = 64 << 10

// Drain drops a response before a retry. It reads the body if that is short, so that its
// connection can be used again.
func Drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain)
	_ = res.Body.Close()
}
