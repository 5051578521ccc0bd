package download

// An Event is something that happens to a download.
type Event int

const (
	// GoesOn: the client that the request was made for has left, and the request goes on.
	GoesOn Event = iota + 1
	// Interrupted: a transfer to a client broke off, and the download is kept.
	Interrupted
	// HandedOver: a client has got the download without a request of its own.
	HandedOver

	// NoRoom: the download is not kept, since it does not fit into the memory.
	NoRoom
	// LargeHeader: the download is not kept, since its header or trailer is too large.
	LargeHeader
	// Unframed: the download is not kept, since its end is that of the connection. So
	// nobody can tell whether it is whole (RFC 9112 section 8).
	Unframed

	// TooMany: the request has ended with its clients, since as many as are allowed go on
	// alone.
	TooMany
	// Idle: the request went on alone, and has ended because nothing came any more.
	Idle
	// Broken: the content has come, but not as a whole.
	Broken

	// Unmarked: the request is made before others can see in the archive that this process
	// makes it. If the process ends, nobody can say that the download is lost.
	Unmarked
	// Unstored: the archive does not keep the download, and memory alone is used. This is
	// observed once until Stored.
	Unstored
	// Stored: the archive keeps downloads again.
	Stored

	// Unreadable: a transfer to a client broke off, since the archive did not return a piece.
	Unreadable
	// Lost: the archive has failed, and memory does not have all of the download any more.
	Lost
	// Expired: the time of the download is over, and its last transfer broke off.
	Expired
	// Underway: the store is closed while the response comes. If the process ends, the
	// download is lost.
	Underway
	// Closed: the store is closed, and the last transfer broke off.
	Closed
)

// An Observer is told what happens to downloads. It is safe for concurrent use.
type Observer interface {
	// Observe is called after e has happened to d. err is nil, but for Unstored and
	// Unreadable.
	Observe(d *Download, e Event, err error)
}
