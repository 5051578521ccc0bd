// Package downloads tests that documents are not lost with their gateway. The gateways are
// real processes, which are stopped and killed, and the storages are files, Redis and
// S3.
//
// TestKill prints how many documents of a hundred downloads were handed over, and how many
// were lost.
package downloads
