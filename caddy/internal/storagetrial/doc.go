// Package storagetrial tests whether a storage of Caddy is suitable for tokens that
// several servers share. It knows no OAuth, and nothing of the storage but its
// interface. A trial always ends, whatever the storage does. It leaves nothing behind
// that the storage lets it delete.
package storagetrial
