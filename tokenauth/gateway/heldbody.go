package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
)

// errReleased is the error for reading a body that is no longer held.
var errReleased = errors.New("the request body is no longer held")

// errLonger is the error for a body that has more bytes than its Content-Length.
var errLonger = errors.New("the request body is longer than its Content-Length")

// A heldBody is a request body in memory, so that it can be sent again. Its memory is
// reused for other bodies after the answer has come, when a sender may still be reading.
// So readers take a lock and copy the bytes.
type heldBody struct {
	budget *Budget
	length int64 // in bytes, which are taken from the budget

	mu       sync.Mutex
	chunks   [][]byte
	last     *heldReader // the newest reader, nil if it is closed
	answered bool        // there will be no new reader
	released bool
	stop     func() bool // ends the wait for the end of the call
}

// fill reads a body of the given length, which the caller has taken from the budget.
func (b *heldBody) fill(body io.Reader, length int64) error {
	b.length = length
	var err error
	for rest := length; rest > 0; {
		chunk := b.budget.chunk(rest)
		b.chunks = append(b.chunks, chunk)
		var n int
		if n, err = readAll(body, chunk); n < len(chunk) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		rest -= int64(n)
	}
	if err == nil { // net/http too looks whether the body goes on
		var n int
		if n, err = readAll(body, make([]byte, 1)); n > 0 {
			return errLonger
		}
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// unknownChunk is the size, in bytes, of the chunks for bodies of unknown length. Most of
// such a chunk may stay empty.
const unknownChunk = 128 << 10

// fillUpTo reads a body of unknown length. It reports whether it has read the whole body;
// it stops if the body is longer than limit, or than the budget allows.
func (b *heldBody) fillUpTo(body io.Reader, limit int64) (whole bool, err error) {
	for b.length <= limit {
		// One more byte than is allowed tells whether there are more.
		size := min(limit+1-b.length, unknownChunk)
		if !b.budget.reserve(size) {
			return false, nil
		}
		chunk := b.budget.chunk(size)
		n, err := readAll(body, chunk)
		b.length += int64(n)
		b.budget.release(size - int64(n))
		b.chunks = append(b.chunks, b.budget.fit(chunk, n))
		if err == io.EOF {
			return b.length <= limit, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// readAll fills p from r. Unlike io.ReadFull, it returns the error of r unchanged, so that
// a body that breaks off does not look like a body that has ended.
func readAll(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var read int
		read, err = r.Read(p[n:])
		n += read
	}
	return n, err
}

// reader returns a reader that reads the body from its beginning. Older readers cannot
// read any more.
func (b *heldBody) reader() *heldReader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &heldReader{body: b, rest: b.chunks, left: b.length}
	if !b.released {
		b.last = r
	}
	return r
}

// answer says that the body will not be sent again. The present reader can still read to
// the end.
func (b *heldBody) answer() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = true
	b.settle()
}

// holdUntil makes the body be released when ctx is done, at the latest.
func (b *heldBody) holdUntil(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop = context.AfterFunc(ctx, b.abandon)
}

// settle releases the body when nobody will read it.
func (b *heldBody) settle() {
	if b.answered && (b.last == nil || b.last.left == 0) {
		b.release()
	}
}

// release gives the memory of the body back. It is called with the lock held.
func (b *heldBody) release() {
	if b.released {
		return
	}
	b.budget.recycle(b.chunks)
	b.budget.release(b.length)
	b.released, b.chunks, b.last = true, nil, nil
	if b.stop != nil {
		b.stop()
	}
}

// abandon releases the body at once. A reader that has not finished gets errReleased.
func (b *heldBody) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release()
}

// A heldReader reads a heldBody while it is sent. Unlike a bytes.Reader, net/http does not
// know this type, and so does not know that it can be read again or is empty. Otherwise
// net/http would retry the request by itself when a connection breaks.
type heldReader struct {
	body   *heldBody
	rest   [][]byte // chunks that are not read to their end
	offset int      // in the first chunk of rest
	left   int64    // bytes that have not been read
}

// Read implements io.Reader.
func (r *heldReader) Read(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	switch {
	case r.left == 0:
		return 0, io.EOF
	case r != r.body.last:
		return 0, errReleased
	}
	n := 0
	for n < len(p) && r.left > 0 { // fill p, since HTTP/2 makes one frame from each reading
		copied := copy(p[n:], r.rest[0][r.offset:])
		n += copied
		r.left -= int64(copied)
		if r.offset += copied; r.offset == len(r.rest[0]) {
			r.rest, r.offset = r.rest[1:], 0
		}
	}
	r.body.settle()
	return n, nil
}

// Close implements io.Closer.
func (r *heldReader) Close() error {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r == r.body.last {
		r.body.last = nil
		r.body.settle()
	}
	return nil
}
