package caddyesign

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// A fault that never ends does not keep the sandbox from ending.
func TestSandboxEndsWhileAClientHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := newSandboxServer(sandbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		server.serving = server.serveAt(ln)
		client := &http.Client{Transport: &http.Transport{DialContext: ln.dial, DisableKeepAlives: true}}
		res, err := client.Post("http://"+sandbox.Address+"/sandbox/faults", "application/json", strings.NewReader(`{"effect":"hang","count":1}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("status %d", res.StatusCode)
		}
		hung := make(chan error, 1)
		go func() {
			res, err := client.Get(bankid.Sandbox.Issuer + "/.well-known/openid-configuration")
			if err == nil {
				_ = res.Body.Close()
			}
			hung <- err
		}()
		synctest.Wait()
		if len(hung) > 0 {
			t.Fatalf("the request does not hang: %v", <-hung)
		}
		if err := server.Destruct(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if err := <-hung; err == nil {
			t.Error("the client got a response")
		}
	})
}

// A desk in a browser ends with its sandbox: at once when the sandbox shuts down, and when
// another one takes its place, so that the browser asks that one.
func TestSandboxEndsTheDesk(t *testing.T) {
	for name, end := range map[string]func(*sandboxServer) error{
		"shutdown": (*sandboxServer).Destruct,
		"another":  func(s *sandboxServer) error { return s.serve(sandbox.Options{Manual: true}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			server, err := newSandboxServer(sandbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
			server.serving = server.serveAt(ln)
			client := &http.Client{Transport: &http.Transport{DialContext: ln.dial, DisableKeepAlives: true}}
			res, err := client.Get("http://" + sandbox.Address + "/sandbox/desk/events") //nolint:bodyclose // it is closed below
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			before := time.Now()
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, res.Body)
				ended <- err
			}()
			if err := end(server); err != nil {
				t.Errorf("%s: it ended with %v", name, err)
			}
			if err := <-ended; err != nil {
				t.Errorf("%s: the events ended with %v", name, err)
			}
			if waited := time.Since(before); waited > time.Second {
				t.Errorf("%s: it took %v", name, waited)
			}
			if err := server.Destruct(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A pipeListener is a listener in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

// dial makes a connection. It can be the DialContext of an http.Transport.
func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

// Addr implements net.Listener.
func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
