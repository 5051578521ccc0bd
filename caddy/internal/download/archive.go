package download

import (
	"context"
	"net/http"
	"time"
)

// PieceSize is the size, in bytes, of the pieces of an Archive. The last piece of a
// download may be shorter, and no piece is empty.
const PieceSize = 1 << 20

// An Archive keeps downloads where they outlive the process, and where other processes
// find them. It is safe for concurrent use.
type Archive interface {
	// Begin says that this process downloads key now, and returns the entry to write.
	// Other processes see it until Commit or Abandon of the entry. One of them must be
	// called. An error is one of the storage.
	Begin(ctx context.Context, key Key) (NewEntry, error)

	// Find returns the whole download at key. The storage may take as long as limit to say
	// what it has. While another process downloads the same, Find waits, as long as ctx
	// allows. The error is fs.ErrNotExist if there is none, the error of ctx, or one of the
	// storage.
	Find(ctx context.Context, key Key, limit time.Duration) (Entry, error)
}

// An Entry is a whole download in an Archive. It is safe for concurrent use.
type Entry interface {
	// Meta returns what is known of the response besides its content. It must not be
	// changed.
	Meta() Meta

	// Piece returns piece n of the content, from 0. The caller owns the result. An error
	// is one of the storage, or says that the piece is gone or was changed.
	Piece(ctx context.Context, n int) ([]byte, error)
}

// A NewEntry is a download that is being written to an Archive. Put is called for one
// piece after the other, from 0. Piece may be called meanwhile.
type NewEntry interface {
	// Put stores piece n of the content. It must not keep or change piece. An error is
	// one of the storage.
	Put(ctx context.Context, n int, piece []byte) error

	// Piece returns piece n, which was put before, for a client that is slow. It may also
	// be called after Commit. The caller owns the result. Errors are those of
	// Entry.Piece.
	Piece(ctx context.Context, n int) ([]byte, error)

	// Commit says that all pieces are there. From then on, Find returns the download. An
	// error is one of the storage, and Abandon must be called.
	Commit(ctx context.Context, meta Meta) error

	// Abandon deletes what was put, in the background. After an error of Commit, the download
	// stays until its time is over: the archive may have all of it.
	Abandon()
}

// A Meta is what is known of a response besides its content.
type Meta struct {
	// Status is the status, such as 200.
	Status int

	// Header is the header, with Content-Length if the server gave one.
	Header http.Header

	// Trailer has the fields that came after the content. It may be nil.
	Trailer http.Header

	// Length is the length of the content, in bytes.
	Length int64
}
