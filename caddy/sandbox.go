package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// sandboxServer serves the sandbox. It outlives reloads, since its orders would be lost
// otherwise. It does not use Caddy's listeners, which let two processes share a port:
// one process would not know the tokens of the other.
type sandboxServer struct {
	server http.Server
	bankID atomic.Pointer[sandbox.Server]

	mu      sync.Mutex
	options sandbox.Options // of bankID
	serving chan struct{}   // closed when the server has ended
}

// newSandboxServer returns a server that does not listen yet.
func newSandboxServer(options sandbox.Options) (*sandboxServer, error) {
	s := &sandboxServer{server: http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		// Errors caused by its clients are not worth a log line.
		ErrorLog: log.New(io.Discard, "", 0),
	}}
	s.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.bankID.Load().ServeHTTP(w, r) })
	s.server.RegisterOnShutdown(func() { s.bankID.Load().Close() })
	return s, s.renew(options)
}

// renew makes a new sandbox, which replaces the one before. The orders of that are lost.
func (s *sandboxServer) renew(options sandbox.Options) error {
	bankID, err := sandbox.New(options)
	if err != nil {
		return err
	}
	if before := s.bankID.Swap(bankID); before != nil {
		before.Close() // the desk in a browser moves to the new one
	}
	s.options = options
	return nil
}

// serve starts to serve, unless it does already. If it does with other options, it
// serves a new sandbox from now on. The address is fixed, since it is part of the issuer
// identifier.
func (s *sandboxServer) serve(options sandbox.Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !reflect.DeepEqual(s.options, options) {
		if err := s.renew(options); err != nil {
			return err
		}
	}
	if s.serving != nil {
		return nil
	}
	ln, err := net.Listen("tcp", sandbox.Address)
	if err != nil {
		return fmt.Errorf("listening for the sandbox: %v; only one sandbox can run on a machine: end the other gateway with environment sandbox, or 'caddy bankid-esign sandbox'", err)
	}
	s.serving = s.serveAt(ln)
	return nil
}

// serveAt serves on ln until the server is shut down. Then it closes the returned
// channel.
func (s *sandboxServer) serveAt(ln net.Listener) chan struct{} {
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		if err := s.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			_ = ln.Close()
		}
	}()
	return serving
}

// Destruct implements caddy.Destructor.
func (s *sandboxServer) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	<-s.serving
	return err
}
