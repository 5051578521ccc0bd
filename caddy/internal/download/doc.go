// Package download keeps responses whose content can be fetched from the server once
// only, so that a client whose transfer breaks off can ask for it again.
//
// The first request for a key claims its Download from the Store, and fetches it: it
// calls the server with the context of a Recorder, which does not end when the client
// leaves, and with the Recorder for the response writer. The content is kept as it comes,
// and another goroutine transfers it to the client. Further requests for the same key are
// served by Serve, which begins while the content comes.
//
// With an Archive, another goroutine puts the content there, piece by piece. A piece that
// the archive has needs no memory: a client that is slow gets it from there.
package download
