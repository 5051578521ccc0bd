package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	// maxResponse is the longest response, in bytes. A character device gives a response
	// in one piece, or the rest of it is lost.
	maxResponse = 4096

	// headerSize is the size of the header of a command and of a response, in bytes: two
	// of a tag, four of the size, four of a code.
	headerSize = 10

	// dialWait is how long to wait for a connection to a socket.
	dialWait = 10 * time.Second

	// turnWait is how long a socket may be used at once. The other side may be gone
	// without a trace. The kernel limits a character device itself. Some TPMs take
	// minutes to make an RSA key.
	turnWait = 5 * time.Minute

	// openWait is how long a TPM that serves one program at a time may be in use by another
	// one. The gateway needs it for milliseconds.
	openWait = 5 * time.Second

	// A command is sent again after firstPause, then after twice that time, and so on up
	// to lastPause, if the TPM is busy. flushWait is how long it may be busy when the
	// caller has left.
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
	flushWait  = 10 * time.Second
)

// A connection is a connection to a TPM, for one turn. It implements transport.TPM.
type connection struct {
	io.ReadWriteCloser
	ctx context.Context // that of the caller, which may leave before the turn is over
}

// open connects to the TPM at an address: a path, or host:port. While another program has it,
// it tries again.
func open(ctx context.Context, address string) (*connection, error) {
	return patiently(ctx, func() (*connection, error) { return connect(ctx, address) })
}

// patiently calls connect until the TPM is free, or openWait is over.
func patiently(ctx context.Context, connect func() (*connection, error)) (*connection, error) {
	over := time.After(openWait)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c, err := connect()
		if !errors.Is(err, errInUse) {
			return c, err
		}
		select {
		case <-time.After(pause):
		case <-over:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// connect is open, without another try.
func connect(ctx context.Context, address string) (*connection, error) {
	if !filepath.IsAbs(address) {
		return dial(ctx, "tcp", address)
	}
	info, err := os.Stat(address)
	switch {
	case err != nil:
		return nil, openError(address, err)
	case info.Mode()&fs.ModeSocket != 0:
		return dial(ctx, "unix", address)
	case info.Mode()&fs.ModeCharDevice == 0:
		return nil, fmt.Errorf("%s is neither a character device nor a socket", address)
	}
	// Not os.OpenFile, which makes it non-blocking: then a read before the TPM has
	// finished gives nothing, which looks like the end of a file.
	fd, err := syscall.Open(address, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(address, err)
	}
	return &connection{os.NewFile(uintptr(fd), address), ctx}, nil
}

// dial connects to a socket.
func dial(ctx context.Context, network, address string) (*connection, error) {
	conn, err := (&net.Dialer{Timeout: dialWait}).DialContext(ctx, network, address)
	if err != nil {
		return nil, openError(address, err)
	}
	if err := conn.SetDeadline(time.Now().Add(turnWait)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &connection{conn, ctx}, nil
}

// errInUse is part of the error if other programs use the TPM.
var errInUse = errors.New("which serves one at a time")

// openError says why there is no connection.
func openError(address string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s: look whether the machine has a TPM that its firmware has enabled, and under systemd at PrivateDevices (no)", address)
	case errors.Is(err, fs.ErrPermission) && isConnection(err):
		return fmt.Errorf("this user may not connect to %s, which needs the right to write to it", address)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not use %s: add it to the group tss (under systemd SupplementaryGroups=tss), and under systemd allow the device (DeviceAllow=%s rw)", address, address)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("another program uses %s, %w: use %s", address, errInUse, defaultDevice)
	case errors.Is(err, syscall.EAGAIN): // too many connections wait at a socket
		return fmt.Errorf("other programs use %s, %w", address, errInUse)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s", address)
	}
	return fmt.Errorf("%s cannot be used: %w", address, err)
}

// isConnection reports whether err is that of a connection, and not of a file.
func isConnection(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// Send sends a command, and sends it again while the TPM is busy. If the caller has left,
// it sends only what takes keys from the TPM.
func (c *connection) Send(command []byte) ([]byte, error) {
	over := c.ctx.Done()
	if isFlush(command) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), flushWait)
		defer cancel()
		over = ctx.Done()
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-over:
			return nil, errBusy
		default:
		}
		response, err := c.exchange(command)
		if err != nil || !isBusy(response) {
			return response, err
		}
		select {
		case <-time.After(pause):
		case <-over:
		}
	}
}

// errBusy is the error if the time was over before the TPM has carried out a command.
var errBusy = errors.New("it was busy until the time was over")

// exchange sends a command once.
func (c *connection) exchange(command []byte) ([]byte, error) {
	if _, err := c.Write(command); err != nil {
		return nil, lostError(err)
	}
	response := make([]byte, maxResponse)
	n, err := io.ReadAtLeast(c, response, headerSize)
	if err != nil {
		return nil, lostError(err)
	}
	size := binary.BigEndian.Uint32(response[2:])
	if size < headerSize || size > maxResponse || n > int(size) {
		return nil, errors.New("what it responds is not the response of a TPM")
	}
	if _, err := io.ReadFull(c, response[n:size]); err != nil {
		return nil, lostError(err)
	}
	return response[:size], nil
}

// lostError is the error if the connection was lost because of err.
func lostError(err error) error {
	return fmt.Errorf("the connection to it was lost: %w", err)
}

// code returns the code in the header of a command or response.
func code(message []byte) uint32 {
	if len(message) < headerSize {
		return 0
	}
	return binary.BigEndian.Uint32(message[6:])
}

// isFlush reports whether a command takes a key or session from the TPM.
func isFlush(command []byte) bool { return code(command) == uint32(tpm2.TPMCCFlushContext) }

// isBusy reports whether a response says that the TPM has not begun the command, and that
// it may be sent again (TPM 2.0 Library Part 2, section 6.6.3).
func isBusy(response []byte) bool {
	return slices.Contains([]tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate}, tpm2.TPMRC(code(response)))
}
