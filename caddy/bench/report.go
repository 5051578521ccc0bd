package main

import (
	"fmt"
	"io"
	"strings"
)

// A report is the results, in Markdown.
type report struct {
	machine  string
	body     strings.Builder
	verdicts []verdict
}

// A verdict says whether a target was met.
type verdict struct {
	target, measured string
	met              bool
}

// write writes the document.
func (r *report) write(w io.Writer, preamble string) error {
	var head strings.Builder
	head.WriteString(preamble)
	head.WriteString(r.machine)
	if len(r.verdicts) > 0 {
		head.WriteString("\n## Targets\n\n| target | measured | |\n| --- | --- | --- |\n")
		for _, v := range r.verdicts {
			met := "met"
			if !v.met {
				met = "**missed**"
			}
			fmt.Fprintf(&head, "| %s | %s | %s |\n", v.target, v.measured, met)
		}
	}
	_, err := io.WriteString(w, head.String()+r.body.String())
	return err
}

// section begins a section.
func (r *report) section(title string) {
	fmt.Fprintf(&r.body, "\n## %s\n\n", title)
}

// row adds a row to a table.
func (r *report) row(cells ...string) {
	r.body.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// table begins a table.
func (r *report) table(columns ...string) {
	r.row(columns...)
	r.body.WriteString(strings.Repeat("| --- ", len(columns)) + "|\n")
}

// decimals returns the number of decimals of a figure whose target is limit.
func decimals(limit float64) int {
	if limit >= 100 {
		return 0
	}
	return 3
}

// atMost judges a figure that should be at most limit.
func (r *report) atMost(target string, s spread, limit float64) {
	r.verdicts = append(r.verdicts, verdict{fmt.Sprintf("%s: at most %v", target, limit), s.with(decimals(limit)), s.median <= limit})
}

// atLeast judges a figure that should be at least limit.
func (r *report) atLeast(target string, s spread, limit float64) {
	r.verdicts = append(r.verdicts, verdict{fmt.Sprintf("%s: at least %v", target, limit), s.with(decimals(limit)), s.median >= limit})
}

// scenario adds the results of a scenario. The first runner is the floor.
func (r *report) scenario(s scenario, runners []*runner, all []figures) {
	r.section(s.name)
	fmt.Fprintf(&r.body, "%d rounds, %d to %d requests to a contender.\n\n", len(all[0].rate), minRequests(all), maxRequests(all))
	r.figures(runners, all, true)
	for i, runner := range runners {
		if runner.name == bearerName {
			r.judge(s, all[i], runners, all)
		}
	}
}

// judge judges the gateway in a scenario. Where the call itself is most of the work, it is
// compared with what a handler in Caddy costs at the least.
func (r *report) judge(s scenario, gateway figures, runners []*runner, all []figures) {
	small := s.shape.down+s.shape.up == 0
	for i, other := range runners {
		rate, cpu := newSpread(ratios(gateway.rate, all[i].rate)), newSpread(ratios(gateway.cpu, all[i].cpu))
		switch {
		case other.name == bareName && small:
			r.atLeast(s.name+": requests per second of the gateway, to bare's", rate, 0.91)
			r.atMost(s.name+": processor time per request of the gateway, to bare's", cpu, 1.1)
		case other.name == floorName && s.name == "small h1 c32":
			r.atLeast(s.name+": requests per second of the gateway, to the floor's", rate, 1.2)
			r.atMost(s.name+": processor time per request of the gateway, to the floor's", cpu, 0.82)
		case other.name == floorName && !small:
			r.atLeast(s.name+": requests per second of the gateway, to the floor's", rate, 0.97)
			r.atMost(s.name+": processor time per request of the gateway, to the floor's", cpu, 1.03)
		case other.name == oauth2Name && small && !s.shape.h2 && !s.shape.tls:
			r.atLeast(s.name+": requests per second of the gateway, to the Go proxy's", rate, 0.95)
		}
		if other.name == floorName {
			r.atMost(s.name+": peak memory of the gateway, to the floor's", newSpread(ratios(gateway.peak, all[i].peak)), 1.05)
		}
	}
}

// minRequests returns the least number of requests to one contender.
func minRequests(all []figures) int {
	n := all[0].requests
	for _, f := range all {
		n = min(n, f.requests)
	}
	return n
}

// maxRequests returns the largest.
func maxRequests(all []figures) int {
	n := 0
	for _, f := range all {
		n = max(n, f.requests)
	}
	return n
}

// figures adds a table of the measurements, with ratios to the first runner.
func (r *report) figures(runners []*runner, all []figures, withMemory bool) {
	columns := []string{"", "requests/s", "ratio", "CPU µs/request", "ratio", "p50 ms", "p99 ms", "ratio", "p99.9 ms", "ratio"}
	if withMemory {
		columns = append(columns, "peak MiB", "ratio")
	}
	r.table(columns...)
	for i, runner := range runners {
		f, base := all[i], all[0]
		cells := []string{
			runner.name,
			newSpread(f.rate).with(0), newSpread(ratios(f.rate, base.rate)).with(3),
			newSpread(f.cpu).with(1), newSpread(ratios(f.cpu, base.cpu)).with(3),
			newSpread(f.p50).with(2),
			newSpread(f.p99).with(2), newSpread(ratios(f.p99, base.p99)).with(2),
			newSpread(f.p999).with(2), newSpread(ratios(f.p999, base.p999)).with(2),
		}
		if withMemory {
			cells = append(cells, newSpread(f.peak).with(0), newSpread(ratios(f.peak, base.peak)).with(2))
		}
		r.row(cells...)
	}
}

// renewal adds the results of the renewal scenario: without renewals, with them,
// and the Go proxy with them.
func (r *report) renewal(load string, runners []*runner, all []figures) {
	r.section("Tokens renewed every two seconds, " + load)
	r.body.WriteString("Small responses over 32 connections of HTTP/1.1; ratios to the gateway whose token lives for a day. The issuer takes 20 ms for a token.\n\n")
	r.figures(runners, all, false)
	for _, t := range []struct {
		name   string
		values []float64
		most   float64
	}{
		{"p99.9 while tokens renew every two seconds, to that without", ratios(all[1].p999, all[0].p999), 1.05},
		{"p99.9 while tokens renew, to that of the Go proxy", ratios(all[1].p999, all[2].p999), 1},
		{"p99 while tokens renew, to that of the Go proxy", ratios(all[1].p99, all[2].p99), 1},
	} {
		r.atMost(load+": "+t.name, newSpread(t.values), t.most)
	}
}

// stampede adds the results of cold callers.
func (r *report) stampede(name string, contenders []contender, all []stampede) {
	r.section(fmt.Sprintf("Stampede of %d cold callers: %s", coldCallers, name))
	r.table("", "token requests", "callers served", "first response ms", "last response ms")
	for i, c := range contenders {
		r.row(c.name, newSpread(all[i].requests).with(0), newSpread(all[i].served).with(0), newSpread(all[i].first).with(0), newSpread(all[i].last).with(0))
	}
	r.atMost("stampede, "+name+": token requests of the gateway, to the Go proxy's", newSpread(ratios(all[0].requests, all[1].requests)), 1)
	r.atMost("stampede, "+name+": time to the last response, to the Go proxy's", newSpread(ratios(all[0].last, all[1].last)), 1)
}

// startup adds the times to ready, and the sizes of the stock program and ours.
func (r *report) startup(kinds []contender, ready [][]float64, sizes []int64) {
	r.section("Start and size")
	r.body.WriteString("From the start of the process to the first response of the upstream. The gateway needs discovery and a token first.\n\n")
	r.table("", "ready ms", "ratio")
	for i, kind := range kinds {
		r.row(kind.name, newSpread(ready[i]).with(0), newSpread(ratios(ready[i], ready[0])).with(2))
	}
	fmt.Fprintf(&r.body, "\nProgram: %.1f MiB; stock Caddy: %.1f MiB; ratio %.3f.\n",
		float64(sizes[1])/mebibyte, float64(sizes[0])/mebibyte, float64(sizes[1])/float64(sizes[0]))
}

// micro adds the results of the packages' benchmarks.
func (r *report) micro(all microBenchmarks) {
	r.section("Benchmarks of the packages")
	r.table("benchmark", "ns/op", "B/op", "allocs/op")
	for _, m := range all {
		ns := newSpread(m.figures["ns/op"])
		allocs, memory := "", ""
		if _, ok := m.figures["allocs/op"]; ok {
			allocs, memory = fmt.Sprintf("%.0f", newSpread(m.figures["allocs/op"]).median), fmt.Sprintf("%.0f", newSpread(m.figures["B/op"]).median)
		}
		r.row(m.name, ns.with(1), memory, allocs)
	}
	ns := func(name string) []float64 { return all.get(name).figures["ns/op"] }
	for _, goroutines := range []int{1, 2, 8} {
		r.atMost(fmt.Sprintf("a fresh token, %d goroutines, to an atomic load and a look at the clock", goroutines),
			newSpread(ratios(ns(fmt.Sprintf("SourceToken/fresh/goroutines=%d", goroutines)), ns(fmt.Sprintf("SourceToken/bare/goroutines=%d", goroutines)))), 1.2)
	}
	worst := spread{}
	for _, m := range all {
		if s := newSpread(m.figures["ns/op"]); strings.HasPrefix(m.name, "CallTable/") && s.median > worst.median {
			worst = s
		}
	}
	r.atMost("the slowest look into the call table, ns", worst, 100)
	transport := ns("Transport/bearer")
	noop := ns("Transport/noop")
	over := make([]float64, len(transport))
	for i := range transport {
		over[i] = transport[i] - noop[i]
	}
	r.atMost("a bearer call over a no-op, ns", newSpread(over), 1000)
	r.atMost("a bearer call over a no-op, allocations", newSpread(all.get("Transport/bearer").figures["allocs/op"]), 4)
	r.atMost("an ES256 proof, to the bare signature", newSpread(ratios(ns("DPoPProof/proof/ES256"), ns("DPoPProof/bare/ES256"))), 1.3)
	r.atMost("an RS256 proof, to the bare signature", newSpread(ratios(ns("DPoPProof/proof/RS256"), ns("DPoPProof/bare/RS256"))), 1.3)
	r.atMost("the handler, to the floor", newSpread(ratios(ns("Handler"), ns("ReverseProxyStaticHeader"))), 1.1)
	r.atMost("a call through the handler, allocations", newSpread(all.get("Handler").figures["allocs/op"]), 60)
	thousand := ratios(ns("Provision/clients=1000"), []float64{1e6})
	r.atMost("provisioning a thousand clients, ms", newSpread(thousand), 1000)
}
