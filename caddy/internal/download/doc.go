// Package download keeps responses whose content can be fetched from the server once
// only, so that a client whose transfer breaks off can ask for it again.
//
// The first request for a key claims its Download from the Store, and fetches it: it
// calls the server with a context from Detach, which does not end when the client
// leaves, and with a Recorder for the response writer. A response that has arrived
// whole is kept in memory, and Serve transfers it to the client. Further requests for
// the same key are served from memory.
package download
