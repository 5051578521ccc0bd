// Package archive keeps downloads in a storage that several processes share, such as
// Caddy's. It implements download.Archive.
//
// The storage need not be trusted, and nothing in it can be read without a sealing
// secret. Each download has a random key of its own, which encrypts its pieces. The
// manifest, which is stored last, has that key and the header. It is encrypted with a
// key derived from the sealing secret (RFC 5869). Names are hashes under another key
// derived from it. So the storage shows times, and the number and length of pieces.
//
//	bankid_esign/downloads/v1/<name>.mark       a process downloads; it looks, and writes anew every second
//	bankid_esign/downloads/v1/<name>.<id>/<n>   piece n
//	bankid_esign/downloads/v1/<name>.manifest   the download is whole
//	bankid_esign/downloads/v1/present           exists, unlike a key that a storage says to be missing
//
// A mark that does not change any more belongs to a process that is gone. Others judge
// that by their own clocks. If there is no manifest, the download is lost.
//
// While a caller reads a download whose time is over, the clear part of the manifest has a
// later time, and the encrypted part says that Find must not return it any more.
//
// The package expects little of the storage. An operation that takes too long is given
// up, even if the storage ignores its context. If List is missing, only a process that
// has found or written a download deletes it.
package archive
