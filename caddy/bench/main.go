// Command bench measures the gateway beside other proxies. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// usualScenarios are the scenarios that fit into twenty minutes.
const usualScenarios = `^small h[12] c[0-9]+$|^(down|up) 1MiB h[12] c32$|^(down|up) 30MiB h1 c32$|^down 30MiB h2 c1$|^(small|up 1MiB) h1 c32 tls$|^download `

// A bench is one run.
type bench struct {
	rounds int
	slice  time.Duration // of one contender in one round
	micro  string        // benchtime of the packages' benchmarks

	contenders []contender
	scenarios  []scenario
	transfers  []transfer
	programs   programs
	upstream   *upstream
	issuer     *issuer // of tokens that live for a day
	report     report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stopped above
	}
}

// run measures the parts that the arguments name, and prints the results.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := new(bench)
	flags.IntVar(&b.rounds, "rounds", 15, "how often each contender is measured; fewer than 15 mean little")
	flags.DurationVar(&b.slice, "slice", 400*time.Millisecond, "how long a contender is measured in one round")
	flags.StringVar(&b.micro, "micro", "50ms", "the benchtime of the packages' benchmarks")
	match := flags.String("scenarios", usualScenarios, "a `regexp` of the scenarios, such as 'up 30MiB h2 c256'; '.' is all of them, in about two hours")
	names := flags.String("contenders", ".", "a `regexp` of the contenders; the floor always takes part")
	parts := flags.String("parts", "scenarios,downloads,renewal,stampede,startup,micro", "what to measure")
	out := flags.String("out", "", "a `file` to write the results to, besides printing them")
	quick := flags.Bool("quick", false, "run everything once, and very shortly, to see that it works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	document := 30 * mebibyte
	if *quick {
		b.rounds, b.slice, b.micro, document = 1, 50*time.Millisecond, "1x", 3*mebibyte
	}
	if b.rounds < 1 || b.slice <= 0 || flags.NArg() > 0 {
		return errors.New("rounds and slice must be positive, and there are no arguments but flags")
	}
	wanted, err := regexp.Compile(*match)
	if err != nil {
		return fmt.Errorf("scenarios: %v", err)
	}
	named, err := regexp.Compile(*names)
	if err != nil {
		return fmt.Errorf("contenders: %v", err)
	}
	b.scenarios, b.transfers = scenarios(wanted), transfers(wanted, document)
	measured := strings.Split(*parts, ",")
	for _, part := range measured {
		if b.part(part) == nil {
			return fmt.Errorf("parts: there is no part '%s'", part)
		}
	}
	withNginx := false
	for _, c := range contenders() {
		if c.name == floorName || named.MatchString(c.name) {
			b.contenders = append(b.contenders, c)
			withNginx = withNginx || c.name == "nginx"
		}
	}
	if err := b.run(ctx, measured, withNginx); err != nil {
		return err
	}
	preamble := fmt.Sprintf("# Results\n\nMade by `go run . %s` in `caddy/bench`; its README.md says what is measured and how to read it.\n\n", strings.Join(args, " "))
	if *out != "" {
		file, err := os.Create(*out)
		if err != nil {
			return err
		}
		defer file.Close()
		stdout = io.MultiWriter(stdout, file)
	}
	return b.report.write(stdout, preamble)
}

// run measures the parts.
func (b *bench) run(ctx context.Context, parts []string, withNginx bool) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if b.programs, err = buildPrograms(ctx, dir, withNginx); err != nil {
		return err
	}
	if b.report.machine, err = machine(ctx, b.programs); err != nil {
		return err
	}
	if b.upstream, err = newUpstream(dir); err != nil {
		return err
	}
	defer b.upstream.close()
	b.issuer = newIssuer(24*time.Hour, 0, false)
	defer b.issuer.Close()
	start := time.Now()
	for _, part := range parts {
		progress("%s", part)
		if err := b.part(part)(ctx); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	took := time.Since(start).Round(time.Second)
	progress("done in %s", took)
	b.report.machine += fmt.Sprintf("- measured in %s\n", took)
	return nil
}

// part returns the function that measures the named part, or nil if it does not exist.
func (b *bench) part(name string) func(context.Context) error {
	switch name {
	case "scenarios":
		return b.runScenarios
	case "downloads":
		return b.runDownloads
	case "renewal":
		return b.runRenewal
	case "stampede":
		return b.runStampedes
	case "startup":
		return b.runStartup
	case "micro":
		return b.runMicro
	}
	return nil
}

// progress reports progress on standard error.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}
