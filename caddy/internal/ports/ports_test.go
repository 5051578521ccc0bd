package ports_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// No port comes twice, nor one on which something listens, although there are 999 at most. Other
// programs may have some of them.
func TestFree(t *testing.T) {
	const host = "127.0.0.9"
	seen, used := make(map[string]bool), make(map[string]bool)
	for n := range 500 {
		port := ports.Free(t, host)
		if seen[port] {
			t.Fatalf("port %s came twice", port)
		}
		seen[port] = true
		if n%2 == 0 {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			used[port] = true
		}
	}
	for range 999 {
		if port := ports.Free(t, host); used[port] {
			t.Fatalf("port %s is in use", port)
		}
	}
}

// Another process gets other ports at the same time.
func TestFreeElsewhere(t *testing.T) {
	const printed = "PRINT_FREE_PORTS"
	if os.Getenv(printed) != "" {
		for range 999 {
			fmt.Println(ports.Address(t))
		}
		return
	}
	mine := make(map[string]bool)
	for range 999 {
		mine[ports.Address(t)] = true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFreeElsewhere$")
	cmd.Env = append(os.Environ(), printed+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.Fields(strings.TrimSuffix(string(out), "PASS\n"))
	if len(addresses) < 999 {
		t.Fatalf("it printed %d addresses", len(addresses))
	}
	for _, address := range addresses {
		if mine[address] {
			t.Errorf("both have %s", address)
		}
	}
}
