// Package storagetrial tries whether a storage of Caddy's will do for tokens that
// several servers share. It knows no OAuth, and nothing of the storage but its
// interface: whatever that does, a trial comes to its end, and leaves nothing behind
// that the storage lets it delete.
package storagetrial
