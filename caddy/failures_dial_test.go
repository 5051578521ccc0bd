package caddyesign_test

import (
	"net"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// newDNS starts a DNS server that answers every question with rcode, or does not answer
// if rcode is negative.
func newDNS(t *testing.T, rcode int) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		question := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			if rcode >= 0 {
				answer := question[:n]
				answer[2] |= 0x80 // it is a response
				answer[3] = byte(rcode)
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// The caller and the log are told why the API's host cannot be reached.
func TestFailuresToReachTheAPI(t *testing.T) {
	for name, test := range map[string]struct{ origin, transport, proxyStatus, logs string }{
		"no such host":       {"https://api.example", "resolvers " + newDNS(t, 3), `error=dns_error;details="the DNS knows no such host"`, "no such host"},
		"the DNS fails":      {"https://api.example", "resolvers " + newDNS(t, 2), `error=dns_error;details="the response of the DNS is not usable"`, "server misbehaving"},
		"the DNS refuses":    {"https://api.example", "resolvers " + newDNS(t, 5), `error=dns_error;details="the response of the DNS is not usable"`, "server misbehaving"},
		"the DNS is silent":  {"https://api.example", "dial_timeout 200ms\nresolvers " + newDNS(t, -1), "error=dns_timeout", "i/o timeout"},
		"nothing listens":    {"http://" + ports.Address(t), "", "error=connection_refused", "connection refused"},
		"there is no way":    {"https://224.0.0.1", "", "error=destination_ip_unroutable", "network is unreachable"},
		"no port to come by": {"https://127.0.0.1", "local_address 192.0.2.1", "error=proxy_internal_error;details=", "cannot assign requested address"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc " + test.origin + "\ntransport http {\n" + test.transport + "\n}\n}")
			status := 502
			if name == "the DNS is silent" {
				status = 504
			}
			answer := f.do("GET", path, "").is(status)
			if got := answer.Header.Get("Proxy-Status"); !strings.HasPrefix(got, "bankid_esign;"+test.proxyStatus) {
				t.Errorf("Proxy-Status is %q, want %s", got, test.proxyStatus)
			}
			if !strings.Contains(f.logged(), test.logs) {
				t.Errorf("%q is not logged:\n%s", test.logs, f.logged())
			}
		})
	}
}
