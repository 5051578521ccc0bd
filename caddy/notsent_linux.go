package caddyesign

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxNotSent is how much the kernel takes of a connection's data that it cannot send
// yet, in bytes.
const maxNotSent = 128 << 10

// limitNotSent keeps the kernel from taking more of what is written to conn than it can
// send soon. It may take megabytes otherwise, and wakes the writer when a third of them
// has left: a slow line would look like one on which nothing moves, and a ping would wait
// behind all of it.
func limitNotSent(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed already, as its next use will say
	}
	_ = raw.Control(func(fd uintptr) {
		// An old kernel does without it.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxNotSent)
	})
}
