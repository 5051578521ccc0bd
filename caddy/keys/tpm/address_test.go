package tpm

import (
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// join copies both ways between two connections, until one ends.
func join(a, b io.ReadWriteCloser) {
	go func() {
		_, _ = io.Copy(a, b)
		_ = a.Close()
	}()
	_, _ = io.Copy(b, a)
	_ = b.Close()
}

// overTCP returns an address where the TPM listens, too.
func (s *simulator) overTCP() string {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tpm, err := net.Dial("unix", s.socket)
			if err != nil {
				_ = conn.Close()
				continue
			}
			join(conn, tpm)
		}
	}()
	return listener.Addr().String()
}

// asDevice returns the path of a character device that is the TPM: a pseudo-terminal that
// passes all bytes on.
func (s *simulator) asDevice() string {
	s.t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = terminal.Close() })
	control, err := terminal.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var number int
	if controlErr := control.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || controlErr != nil {
		s.t.Fatal(err, controlErr)
	}
	path := "/dev/pts/" + strconv.Itoa(number)
	// It is kept open: otherwise the other side would end with each connection.
	kept, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = unix.Close(kept) })
	mode, err := unix.IoctlGetTermios(kept, unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	mode.Iflag, mode.Oflag, mode.Lflag, mode.Cflag = 0, 0, 0, unix.CS8|unix.CREAD
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(kept, unix.TCSETS, mode); err != nil {
		s.t.Fatal(err)
	}
	tpm, err := net.Dial("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = tpm.Close() })
	go join(terminal, tpm)
	return path
}

// A TPM is a character device, a Unix socket, or somewhere on the network.
func TestAddressesOfATPM(t *testing.T) {
	for name, address := range map[string]func(*simulator) string{
		"socket": func(s *simulator) string { return s.socket }, "network": (*simulator).overTCP, "device": (*simulator).asDevice,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulator(t)
			k := &Key{Device: address(s), File: s.path("key"), Auth: auth}
			if err := k.validate(); err != nil {
				t.Fatal(err)
			}
			k.use(newDevice(k.Device))
			key := s.make(k, "ES256")
			for range 2 {
				if err := key.Try(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
