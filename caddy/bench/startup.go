package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// runStartup measures the time from the start of a Caddy to its first response, and the
// size of its program.
func (b *bench) runStartup(ctx context.Context) error {
	plain := caddy("", "reverse_proxy UPSTREAM")
	kinds := []contender{
		{"stock Caddy, plain reverse_proxy", "", false, func(s setting) ([]string, error) {
			_, err := plain(s)
			return append([]string{s.programs.stock}, caddyArgs(s)...), err
		}},
		{"gateway's binary, plain reverse_proxy", "", false, plain},
		bearer(""),
	}
	ready := make([][]float64, len(kinds))
	for range b.rounds {
		for _, i := range rand.Perm(len(kinds)) { //nolint:gosec // an order
			took, err := b.timeToReady(ctx, kinds[i])
			if err != nil {
				return err
			}
			ready[i] = append(ready[i], milliseconds(took))
		}
	}
	var sizes []int64
	for _, program := range []string{b.programs.stock, b.programs.gateway} {
		info, err := os.Stat(program)
		if err != nil {
			return err
		}
		sizes = append(sizes, info.Size())
	}
	b.report.startup(kinds, ready, sizes)
	return nil
}

// timeToReady returns the time from the start of a program to its first response, with
// the time for a token.
func (b *bench) timeToReady(ctx context.Context, c contender) (time.Duration, error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	other, err := freeAddress()
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(b.programs.dir, "startup")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	s := b.setting(false, b.issuer)
	s.dir, s.h1, s.h2 = dir, address, other
	args, err := c.command(s)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	p, err := startProcess(ctx, dir, s.env(), args[0], args[1:]...)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if _, err := p.await(ctx, "http://"+address+path); err != nil {
		return 0, fmt.Errorf("%s: %v", c.name, err)
	}
	return time.Since(start), nil
}
