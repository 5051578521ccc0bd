package downloads

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// A fleet is a number of gateways with one storage. They listen on the same port of
// different loopback addresses.
type fleet struct {
	t        *testing.T
	bank     *bank
	dir      string
	port     string
	secure   string // the port for TLS
	storage  storage
	gateways [2]*gateway

	certificate, key string         // names of files
	pool             *x509.CertPool // has the certificate
}

// A gateway is a process that can be stopped and started again.
type gateway struct {
	fleet   *fleet
	address string
	log     string // the name of the log file
	process *exec.Cmd
}

// newFleet sets up a fleet. start starts its gateways.
func newFleet(t *testing.T, b *bank, s storage) *fleet {
	t.Helper()
	f := &fleet{t: t, bank: b, dir: t.TempDir(), port: ports.Free(t, "127.0.0.1"), secure: ports.Free(t, "127.0.0.1"), storage: s}
	f.certify()
	for i := range f.gateways {
		f.gateways[i] = &gateway{fleet: f, address: fmt.Sprintf("127.0.0.%d:%s", 2+i, f.port), log: filepath.Join(f.dir, fmt.Sprintf("log-%d", i))}
	}
	return f
}

// certify makes a certificate for the fleet.
func (f *fleet) certify() {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{siteName}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	f.pool = x509.NewCertPool()
	f.pool.AppendCertsFromPEM(certificate)
	f.certificate, f.key = filepath.Join(f.dir, "certificate.pem"), filepath.Join(f.dir, "key.pem")
	for name, content := range map[string][]byte{
		f.certificate: certificate, f.key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("this does not come: " + what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// start starts the gateway, and waits until it responds.
func (g *gateway) start() {
	t, f := g.fleet.t, g.fleet
	t.Helper()
	host, _, _ := net.SplitHostPort(g.address)
	config := fmt.Sprintf(`{
	admin off
	persist_config off
	%s
	log {
		output file %s
		format json
	}
	auto_https off
	servers {
		protocols h1 h2 h2c h3
	}
	bankid_esign {
		issuer %s
		client_id fleet
		client_secret a-secret-of-the-fleet
		downloads %s
	}
}
(site) {
	bind %s
	respond /up 200
	basic_auth {
		app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
		other $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
	}
	bankid_esign signdoc {
		upstream signdoc %s
	}
}
http://:%s {
	import site
}
https://:%s {
	import site
	tls %s %s
}
`, f.storage.option(), g.log, f.bank.issuer(), f.storage.mode(), host, f.bank.server.URL, f.port, f.secure, f.certificate, f.key)
	name := filepath.Join(f.dir, "Caddyfile-"+host)
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.process = exec.CommandContext(context.Background(), program, "run", "--config", name, "--adapter", "caddyfile")
	g.process.Env = append(os.Environ(), "XDG_DATA_HOME="+f.dir, "XDG_CONFIG_HOME="+f.dir)
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := os.OpenFile(g.log+".out", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	g.process.Stdout, g.process.Stderr = output, output
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	eventually(t, "a gateway that responds", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.address+"/up", nil)
		if err != nil {
			return false
		}
		req.SetBasicAuth("app", "correct")
		res, err := http.DefaultClient.Do(req)
		return err == nil && res.Body.Close() == nil
	})
}

// signal ends the process with a signal, and waits for it.
func (g *gateway) signal(s os.Signal) {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Signal(s)
	_ = g.process.Wait() // the error says that it was killed
	g.process = nil
}

// kill kills the process.
func (g *gateway) kill() { g.signal(syscall.SIGKILL) }

// restart stops the process in order, and starts it again.
func (g *gateway) restart() {
	g.fleet.t.Helper()
	g.signal(syscall.SIGTERM)
	g.start()
}

// lines returns the entries of the log with a message.
func (g *gateway) lines(message string) []entry {
	text, err := os.ReadFile(g.log)
	if err != nil {
		return nil
	}
	var found []entry
	for line := range strings.Lines(string(text)) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Msg, message) {
			found = append(found, e)
		}
	}
	return found
}

// An entry is one of the log.
type entry struct {
	Msg, API, Order string
	Begun           json.Number
}
