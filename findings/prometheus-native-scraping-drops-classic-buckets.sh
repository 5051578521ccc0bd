#!/usr/bin/env bash
# One line in Prometheus's configuration silences rules on classic histograms, in good health.
#
# Software:  Prometheus v0.316.0 (version 3 as a Go module), client_golang v1.24.1.
# Behaviour: With "scrape_native_histograms: true", a histogram that a program offers as both,
#            native and classic, is stored as native only. Rules that ask for its "_bucket"
#            series find nothing, which is no error: their health is "ok". Both kinds are kept
#            with "always_scrape_classic_histograms: true".
# Surprise:  An alert about slowness that has worked for years can never fire again, after a
#            change that only seems to add something, and nothing says so.
# Output:    see "want" below. (Prometheus takes some minutes to compile.)
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.7

tool github.com/prometheus/prometheus/cmd/prometheus

require (
	github.com/prometheus/client_golang v1.24.1
	github.com/prometheus/prometheus v0.316.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "finding_seconds", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1,
	}).Observe(5)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	_ = http.Serve(ln, promhttp.Handler())
}
GO
go mod tidy 2>/dev/null
go build -o exporter .
go build -tags remove_all_sd -o prometheus github.com/prometheus/prometheus/cmd/prometheus
./exporter >address &
until [[ -s address ]]; do sleep 0.1; done
cat >rules.yml <<'RULES'
groups:
  - name: finding
    rules:
      - alert: Slow
        expr: histogram_quantile(0.9, sum by (le) (finding_seconds_bucket)) > 2.5
RULES
# ask prints whether a query has a result.
ask() { curl -s "$1/api/v1/query" --data-urlencode "query=$2" | grep -q '"value":\|"histogram":' && echo yes || echo no; }
port=29100
got=$(
	for options in '' 'scrape_native_histograms: true' 'scrape_native_histograms: true, always_scrape_classic_histograms: true'; do
		port=$((port + 1))
		at=http://127.0.0.1:$port
		cat >prometheus.yml <<-CONFIG
			global: {scrape_interval: 500ms, evaluation_interval: 500ms}
			rule_files: [rules.yml]
			scrape_configs:
			  - {job_name: finding, static_configs: [{targets: ["$(cat address)"]}]${options:+, $options}}
		CONFIG
		./prometheus --config.file=prometheus.yml --storage.tsdb.path="data$port" --web.listen-address="127.0.0.1:$port" >/dev/null 2>&1 &
		until [[ $(ask "$at" 'count_over_time(up[1m]) > 3') == yes ]]; do sleep 0.2; done
		health=$(curl -s "$at/api/v1/rules" | grep -o '"health":"[a-z]*"')
		echo "${options:-no option}: classic $(ask "$at" finding_seconds_bucket), native $(ask "$at" finding_seconds), alert $(ask "$at" 'ALERTS{alertname="Slow"}'), $health"
		kill %+
		wait %+ 2>/dev/null || true
	done
)
want='no option: classic yes, native no, alert yes, "health":"ok"
scrape_native_histograms: true: classic no, native yes, alert no, "health":"ok"
scrape_native_histograms: true, always_scrape_classic_histograms: true: classic yes, native yes, alert yes, "health":"ok"'
echo "$got"
[[ $got == "$want" ]]
