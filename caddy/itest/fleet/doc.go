// Package fleet tests many gateways that share one token: real processes, each
// in a network namespace of its own, with the file system or Redis between them.
package fleet
