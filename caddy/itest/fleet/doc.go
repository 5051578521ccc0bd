// Package fleet tests many gateways that share one token: real processes, each
// in a network namespace of its own, with a storage between them: files, Redis,
// PostgreSQL, S3, and one that does what storages should not.
//
// The tables of storages in ../../docs/fleet.md are what TestStorages and TestDefects
// hold them to; -storages.write writes them. -storages.full has twenty tokens and
// servers that are away for twenty seconds, in place of four and ten.
package fleet
