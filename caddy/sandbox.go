package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// serveSandbox serves the sandbox. Its address is fixed, since it is part of
// the issuer identifier. Caddy's listeners let the servers of two
// configurations overlap.
func (a *App) serveSandbox() error {
	addr, err := caddy.ParseNetworkAddress(sandbox.Address)
	if err != nil {
		return err
	}
	lnAny, err := addr.Listen(context.Background(), 0, net.ListenConfig{})
	if err != nil {
		return fmt.Errorf("listening for the sandbox: %v", err)
	}
	ln, ok := lnAny.(net.Listener)
	if !ok {
		return fmt.Errorf("listening for the sandbox: %T is not a stream listener", lnAny)
	}
	a.server = &http.Server{
		Handler:           a.sandbox,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(a.logger.Named("sandbox")),
	}
	go func() {
		if err := a.server.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.logger.Error("serving the sandbox", zap.Error(err))
		}
	}()
	return nil
}

// closeSandbox ends what serveSandbox began.
func (a *App) closeSandbox() error {
	if a.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		return a.server.Close()
	}
	return nil
}
