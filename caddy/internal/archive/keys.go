package archive

import (
	"errors"
	"strconv"
	"strings"
)

// prefix is the prefix of all keys. The number is the version of the format.
const prefix = "bankid_esign/downloads/v1"

// presentKey is a key that exists if the storage has been asked to tell a missing key from a
// failure.
const presentKey = prefix + "/present"

// The last parts of keys.
const (
	markSuffix     = ".mark"
	manifestSuffix = ".manifest"
)

// markKey returns the key of the mark for the download called name.
func markKey(name string) string { return prefix + "/" + name + markSuffix }

// manifestKey returns the key of the manifest of the download called name.
func manifestKey(name string) string { return prefix + "/" + name + manifestSuffix }

// piecesKey returns the key above the pieces of one attempt to download something.
func piecesKey(name string, i id) string { return prefix + "/" + name + "." + encode(i) }

// pieceKey returns the key of piece n.
func pieceKey(name string, i id, n int) string {
	return piecesKey(name, i) + "/" + strconv.Itoa(n)
}

// ownKey returns the key that a storage lists as listed: certmagic-s3 1.4.1 puts a prefix of
// its own before the keys that it lists, and does not take it in other operations.
func ownKey(listed string) string {
	return listed[max(strings.Index(listed, prefix+"/"), 0):]
}

// nameOf returns the name of the download that a key belongs to. It returns "" if the
// key is not below prefix, or is presentKey.
func nameOf(key string) string {
	rest, ok := strings.CutPrefix(key, prefix+"/")
	if !ok || key == presentKey {
		return ""
	}
	name, _, _ := strings.Cut(rest, ".")
	return name
}

// errChanged is the error if what was stored was changed.
var errChanged = errors.New("the storage has another value than was stored")
