package caddyesign

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxNotSent is how much data of a connection, in bytes, the kernel takes before it can
// send it.
const maxNotSent = 128 << 10

// limitNotSent keeps the kernel from taking much more of what is written to conn than
// it can send soon. Otherwise it may take megabytes, and wakes the writer only when a
// third of them has been sent. Then a slow line looks like one on which nothing moves,
// and a ping waits behind all of it.
func limitNotSent(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed already; its next use reports that
	}
	_ = raw.Control(func(fd uintptr) {
		// An old kernel lacks this option; it works without.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxNotSent)
	})
}
