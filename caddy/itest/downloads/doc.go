// Package downloads tests that documents are not lost with their gateway. The gateways are
// real processes, which are stopped and killed, and the storages are files, Redis, S3 and
// PostgreSQL.
//
// TestKill prints how many documents of a hundred downloads were handed over, and how many
// were lost.
package downloads
