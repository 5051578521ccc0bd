// Package upload deals with the bodies of requests whose response may come before the
// body has ended. It knows net/http only.
//
// Most clients send the whole body before they read the response. If they cannot,
// because the server closes the connection or ends the stream, they lose the response:
// they see a broken connection, or wait for ever. So a server should drain such a body,
// which means to read the rest of it and discard it, for a limited time. A Body can be
// drained after the response, and a Drainer limits how many are drained at a time, and
// for how long. If other handlers deal with the request instead, HandOver gives them the
// body from its beginning, or a body that fails. An EarlyResponse writes a response at
// the time when the client can receive it.
package upload
