//go:build !linux

package caddyesign

import "net"

// limitNotSent does nothing: only Linux is known to wake a writer late.
func limitNotSent(net.Conn) {}
