package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/keystest"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// auth is the authorization value of keys that have one.
const auth = "planted-auth-4711"

// TestMain connects standard input and output to a socket, if BRIDGE names one: tpm2-tools
// run it, since they cannot connect to a socket themselves.
func TestMain(m *testing.M) {
	keystest.BeCaddy()
	socket, ok := os.LookupEnv("BRIDGE")
	if !ok {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(os.Stdout, conn)
	}()
	_, _ = io.Copy(conn, os.Stdin)
}

// A simulator is swtpm, which is a TPM of its own.
type simulator struct {
	t      testing.TB
	state  string // its directory
	socket string
	flags  string // those of swtpm
	cmd    *exec.Cmd
}

// newSimulator starts a TPM.
func newSimulator(t testing.TB) *simulator {
	t.Helper()
	// Not t.TempDir, whose paths can be too long for a socket.
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	s := &simulator{t: t, state: dir, socket: filepath.Join(dir, "socket"), flags: "not-need-init,startup-clear"}
	t.Cleanup(func() {
		s.stop()
		_ = os.RemoveAll(dir)
	})
	s.start()
	return s
}

// start gives the TPM its power.
func (s *simulator) start() {
	s.t.Helper()
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.state,
		"--server", "type=unixio,path="+s.socket, "--flags", s.flags)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if conn, err := net.Dial("unix", s.socket); err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("swtpm does not listen")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// stop takes the TPM's power away.
func (s *simulator) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// restart takes the TPM's power away and gives it back.
func (s *simulator) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// do calls f with a connection to the TPM.
func (s *simulator) do(f func(transport.TPM)) {
	s.t.Helper()
	c, err := open(context.Background(), s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	f(c)
}

// left returns how many keys and sessions are in the TPM.
func (s *simulator) left() (n int) {
	s.t.Helper()
	s.do(func(tpm transport.TPM) {
		for _, first := range []uint32{0x80000000, 0x02000000, 0x03000000} {
			response, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 100}.Execute(tpm)
			if err != nil {
				s.t.Fatal(err)
			}
			handles, err := response.CapabilityData.Data.Handles()
			if err != nil {
				s.t.Fatal(err)
			}
			n += len(handles.Handle)
		}
	})
	return n
}

// tool runs one of tpm2-tools.
func (s *simulator) tool(name string, arguments ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Dir = s.state
	cmd.Env = append(os.Environ(), "BRIDGE="+s.socket, "GORACE=atexit_sleep_ms=0", "TPM2TOOLS_TCTI=cmd:"+os.Args[0])
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v: %s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// flushKeys takes all keys out of the TPM.
func (s *simulator) flushKeys() {
	s.do(func(tpm transport.TPM) {
		for key := range tpm2.TPMHandle(3) {
			unload(tpm, 0x80000000+key)
		}
	})
}

// flushSessions takes sessions out of the TPM that tpm2-tools have left there: they expect a
// resource manager.
func (s *simulator) flushSessions() {
	s.do(func(tpm transport.TPM) {
		for session := range tpm2.TPMHandle(3) {
			_, _ = tpm2.FlushContext{FlushHandle: 0x02000000 + session}.Execute(tpm)
		}
	})
}

// path returns the path of a file in the simulator's directory.
func (s *simulator) path(name string) string { return filepath.Join(s.state, name) }

// a counter counts the commands that are sent to a TPM, by their code.
type counter struct {
	mu    sync.Mutex
	sent  map[tpm2.TPMCC]int
	bytes []byte // all of them
}

// of returns how often a command was sent.
func (c *counter) of(command tpm2.TPMCC) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[command]
}

// newCounted returns a device, as another process has it, whose commands are counted.
func (s *simulator) newCounted() (*device, *counter) {
	c := &counter{sent: make(map[tpm2.TPMCC]int)}
	return s.hooked(func(command []byte) []byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent[tpm2.TPMCC(code(command))]++
		c.bytes = append(c.bytes, command...)
		return nil
	}), c
}

// hooked returns a device, as another process has it. before is called with each command,
// and may give the response instead of the TPM.
func (s *simulator) hooked(before func(command []byte) []byte) *device {
	d := newDevice(s.socket)
	d.open = func(ctx context.Context, address string) (*connection, error) {
		c, err := open(ctx, address)
		if err == nil {
			c.ReadWriteCloser = &hook{c.ReadWriteCloser, before, nil}
		}
		return c, err
	}
	return d
}

// a hook is a connection whose commands can be seen.
type hook struct {
	io.ReadWriteCloser
	before   func(command []byte) []byte
	response []byte
}

func (h *hook) Write(command []byte) (int, error) {
	if h.response = h.before(command); h.response != nil {
		return len(command), nil
	}
	return h.ReadWriteCloser.Write(command)
}

func (h *hook) Read(p []byte) (int, error) {
	if h.response != nil {
		n := copy(p, h.response)
		h.response = h.response[n:]
		return n, nil
	}
	return h.ReadWriteCloser.Read(p)
}

// failure is the response with a code only.
func failure(rc tpm2.TPMRC) []byte {
	response := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTNoSessions))
	response = binary.BigEndian.AppendUint32(response, headerSize)
	return binary.BigEndian.AppendUint32(response, uint32(rc))
}

// key returns a key in device with the given options: key and auth, or handle and auth.
func (s *simulator) key(d *device, k Key) *Key {
	s.t.Helper()
	k.Device = s.socket
	if err := k.validate(); err != nil {
		s.t.Fatal(err)
	}
	k.use(d)
	return &k
}

// make makes the key k.
func (s *simulator) make(k *Key, alg string) *tokenauth.Key {
	s.t.Helper()
	made, err := k.MakeKey(context.Background(), alg)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// secret returns text as a secret.
func secret(text string) tokenauth.Secret { return tokenauth.NewSecret(text) }
