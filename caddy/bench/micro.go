package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A microBenchmark is a benchmark of a package, with its figures by unit, such as
// "ns/op", in each round.
type microBenchmark struct {
	name    string
	figures map[string][]float64
}

// microBenchmarks are benchmarks in the order in which they ran.
type microBenchmarks []*microBenchmark

// get returns the benchmark called name. If it does not exist, get adds it.
func (m *microBenchmarks) get(name string) *microBenchmark {
	for _, benchmark := range *m {
		if benchmark.name == name {
			return benchmark
		}
	}
	benchmark := &microBenchmark{name, make(map[string][]float64)}
	*m = append(*m, benchmark)
	return benchmark
}

// runMicro runs the benchmarks of the packages, also in rounds.
func (b *bench) runMicro(ctx context.Context) error {
	var all microBenchmarks
	for i, pkg := range []string{"tokenauth", "tokenauth/gateway", "tokenauth/bankid", "caddy"} {
		binary := filepath.Join(b.programs.dir, fmt.Sprintf("micro%d.test", i))
		if _, err := output(ctx, "go", "test", "-c", "-o", binary, module+"/"+pkg); err != nil {
			return err
		}
		for range b.rounds {
			if err := all.run(ctx, binary, "^Benchmark(SourceToken|CallTable|Transport|DPoPProof)$", b.micro); err != nil {
				return err
			}
			// This is long enough for many garbage collections.
			if err := all.run(ctx, binary, "^Benchmark(Handler|ReverseProxyStaticHeader)$", "20000x"); err != nil {
				return err
			}
		}
		// The set-up of these takes long.
		if err := all.run(ctx, binary, "^BenchmarkGrowth$", "2000x"); err != nil {
			return err
		}
		if err := all.run(ctx, binary, "^BenchmarkProvision$", "3x"); err != nil {
			return err
		}
	}
	b.report.micro(all)
	return nil
}

// run runs the benchmarks of a test binary whose names match, in random order, and adds
// their figures.
func (m *microBenchmarks) run(ctx context.Context, binary, match, benchtime string) error {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.shuffle=on", "-test.bench="+match, "-test.benchtime="+benchtime) //nolint:gosec // built here
	cmd.Dir = filepath.Dir(binary)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %v: %s", match, err, out)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		// BenchmarkName-2  1000  12.5 ns/op  0 B/op  0 allocs/op
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndex(name, "-"); i > 0 {
			name = name[:i] // the number of processors
		}
		benchmark := m.get(name)
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %v", lines.Text(), err)
			}
			benchmark.figures[fields[i+1]] = append(benchmark.figures[fields[i+1]], value)
		}
	}
	return nil
}
