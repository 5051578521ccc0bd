// Package fleet tests many gateways that share one token. They are real processes, each in a
// network namespace of its own. The storages are files, Redis, PostgreSQL, S3, and a storage
// with defects.
//
// TestStorages and TestDefects check the tables of storages in ../../docs/fleet.md, and write
// them with -storages.write. With -storages.full, they use twenty tokens instead of four, and
// servers that are away for twenty seconds instead of ten.
package fleet
