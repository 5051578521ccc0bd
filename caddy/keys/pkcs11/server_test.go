package pkcs11

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
)

// p11KitClient is the PKCS#11 module that passes calls on to p11-kit's server.
func p11KitClient(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/pkcs11/p11-kit-client.so")
	if err != nil || len(found) != 1 {
		t.Fatalf("Debian's p11-kit-modules is not installed: %v, %v", found, err)
	}
	return found[0]
}

// serve runs p11-kit's server for a token of SoftHSM, and returns what ends it.
func serve(t *testing.T, token string) (stop func()) {
	t.Helper()
	socket := strings.TrimPrefix(os.Getenv("P11_KIT_SERVER_ADDRESS"), "unix:path=")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "p11-kit", "server", "--foreground", "--provider", softHSM, "--name", socket, "pkcs11:token="+token)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // each connection has a process
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not listen")
		}
		<-time.After(10 * time.Millisecond)
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

// The server does not say which mechanisms a key is allowed for. The key signs all the same.
func TestAllowedMechanismsBehindP11Kit(t *testing.T) {
	k, _ := newKey(t, hookedLibrary(nil), "served", "allowed")
	generateWith(t, k, "ES256", allowed(pkcs11.CKM_ECDSA))
	defer serve(t, "served")()
	k, _ = newKey(t, newLibrary(p11KitClient(t), load, new(guards)), "served", "allowed")
	key, err := k.Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that holds the PKCS#11 module in a process of its own may crash and be started
// again. The gateway stays, and its key signs again.
func TestServerOfP11KitThatIsRestarted(t *testing.T) {
	l := newLibrary(p11KitClient(t), load, new(guards))
	stop := serve(t, "served")
	key := makeKey(t, l, "served", "served", "ES256")
	if err := key.Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := key.Try(t.Context()); err == nil {
		t.Fatal("it signs without the server")
	}
	stop = serve(t, "served")
	defer stop()
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("with the server again: %v", err)
	}
}
