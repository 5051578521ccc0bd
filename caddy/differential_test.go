package caddyesign_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/longway"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// differentialCalls is how many calls TestBothWaysAreTheSame makes:
//
//	go test -run BothWays . -args -differential.n=20000
var differentialCalls = flag.Int("differential.n", 1500, "how many calls to send through both ways to the API")

// A pair is two gateways that differ in their way to the API only: the first has the short
// one.
type pair struct {
	hosts   [2]string // of the API: the host and port of its URL
	secure  bool      // whether the API's URL is https
	options string    // subdirectives of both
	cert    string    // the file with certificate and key of both; without it, they have no TLS
}

// A lane is a gateway with an API's host of its own.
type lane struct {
	addr string // of the gateway
	name string // host and port in URLs of the gateway
	api  string // host and port in URLs of the API
	host *scriptedHost
}

// startPairs starts a Caddy with pairs of gateways. The clients of pair n are client<n>way0
// and client<n>way1.
func startPairs(t *testing.T, pairs []pair) (f *fixture, admin string, lanes [][2]lane) {
	t.Helper()
	f = newFixture(t)
	f.global = "auto_https off\nmetrics"
	var sites strings.Builder
	longs := make(map[string]bool)
	lanes = make([][2]lane, len(pairs))
	for n, p := range pairs {
		for way := range lanes[n] {
			l := lane{addr: ports.Address(t), api: p.hosts[way]}
			_, port, _ := net.SplitHostPort(l.addr)
			l.name = l.addr
			longs[l.addr] = way == 1
			client := fmt.Sprintf("client%dway%d", n, way)
			f.app += fmt.Sprintf("client %s {\nclient_id %[1]s\nclient_secret {file.%s}\n}\n", client, f.secret)
			site, tls, protocols := "http://:"+port, "", "protocols h1 h2c"
			if p.cert != "" {
				l.name = "localhost:" + port
				site, tls, protocols = "https://"+l.name, "tls "+p.cert+" "+p.cert, "protocols h1 h2 h3"
			}
			f.global += "\nservers " + l.addr + " {\nname " + client + "\nlog_credentials\n" + protocols + "\n}"
			scheme := map[bool]string{true: "https://", false: "http://"}[p.secure]
			upstreams := ""
			for _, api := range []string{"signdoc", "csc", "timestamp"} {
				upstreams += fmt.Sprintf("upstream %s %s%s\n", api, scheme, l.api)
			}
			fmt.Fprintf(&sites, `
			%s {
				bind 127.0.0.1
				%s
				log
				breaking
				@own header X-Own *
				header @own {
					X-Own "before"
					+X-Repeat "before"
					Via "1.1 before"
					Server "before"
					Content-Type "text/before"
				}
				bankid_esign signdoc csc timestamp {
					client %s
					callers local
					%s
					call signdoc HEAD /head none safe
					call signdoc PUT /put bearer never
					call signdoc GET /get none never
					%s
				}
			}`, site, tls, client, upstreams, p.options)
			lanes[n][way] = l
		}
	}
	admin = ports.Address(t)
	caddyfile := strings.Replace(f.caddyfile("")+sites.String(), "admin off", "admin "+admin, 1)
	var config map[string]any
	if err := json.Unmarshal(adapt(t, caddyfile), &config); err != nil {
		t.Fatal(err)
	}
	for _, server := range config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
		if listen := server.(map[string]any)["listen"].([]any); longs[listen[0].(string)] {
			longway.Take(server)
		}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	f.load(raw)
	return f, admin, lanes
}

// newLanes starts a Caddy with a pair of gateways for each version of HTTP that the API
// speaks. option is a subdirective of each, and cert the certificate of their sites.
func newLanes(t *testing.T, option, cert string) (f *fixture, admin string, lanes [][2]lane) {
	t.Helper()
	var hosts [2][2]*scriptedHost
	var pairs []pair
	for version := range hosts {
		p := pair{options: option, cert: cert}
		if version == 1 {
			p.options += "\ntransport http {\nversions h2c\n}"
		}
		for way := range hosts[version] {
			hosts[version][way] = newScriptedHost(t, version == 1)
			p.hosts[way] = hosts[version][way].Addr().String()
		}
		pairs = append(pairs, p)
	}
	f, admin, lanes = startPairs(t, pairs)
	for version := range hosts {
		for way, host := range hosts[version] {
			lanes[version][way].host = host
		}
	}
	return f, admin, lanes
}

// send makes a call over the lane, and returns what the caller and the API's host have
// seen.
func (l lane) send(t *testing.T, c *wireCall) string {
	l.host.expect(c.reply, c.safe)
	got := c.send(t, l.name, l.addr)
	return l.normal("the caller:\n" + got + "\nthe host:\n" + strings.Join(l.host.requests(), "\n"))
}

var (
	trailers = regexp.MustCompile(`(?im)^"?trailer: .*$`)
	dates    = regexp.MustCompile(`(?i)(date(?:: |":\["))(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w+ 20(?:2[5-9]|[3-9]\d) [0-9:]+ GMT`)
	tokens   = regexp.MustCompile(`Bearer token-[\w-]+`)
	errorIDs = regexp.MustCompile(`\{id=\w+\} `)
	uses     = regexp.MustCompile(`(?m)^use \d of a connection$`)
	loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// normal returns s without what differs between two lanes or two times.
func (l lane) normal(s string) string {
	s = strings.ReplaceAll(s, l.name, "GATEWAY")
	s = strings.ReplaceAll(s, l.api, "HOST")
	if host, _, _ := net.SplitHostPort(l.api); net.ParseIP(host) == nil {
		s = strings.ReplaceAll(s, host, "HOST")
	}
	s = dates.ReplaceAllString(s, "${1}NOW")
	s = tokens.ReplaceAllString(s, "TOKEN")
	s = loopback.ReplaceAllString(s, "PORT")
	return trailers.ReplaceAllStringFunc(s, sorted)
}

// sorted returns a field line with its values in order: that of Trailer is by chance.
func sorted(line string) string {
	name, values, _ := strings.Cut(strings.TrimSuffix(line, "\r"), ": ")
	list := strings.Split(values, ", ")
	slices.Sort(list)
	return name + ": " + strings.Join(list, ", ")
}

// Nobody can tell by a call which of the two ways to the API it has taken, neither its
// caller, nor the API, nor who reads the log and the metrics.
func TestBothWaysAreTheSame(t *testing.T) {
	f, admin, lanes := newLanes(t, "", "")
	compareCalls(t, f, admin, lanes, func(n int) *wireCall { return generated(n, n%2 == 1) })
}

// compareCalls makes the generated calls over lanes, and asserts that both ways are the same.
// A call may be nil.
func compareCalls(t *testing.T, f *fixture, admin string, lanes [][2]lane, generated func(n int) *wireCall) {
	t.Helper()
	made, differences, reused := 0, 0, 0
	for n := range *differentialCalls {
		c := generated(n)
		if c == nil {
			continue
		}
		made++
		var seen [2]string
		var wg sync.WaitGroup
		for way, l := range lanes[n%2] {
			wg.Go(func() { seen[way] = l.send(t, c) })
		}
		wg.Wait()
		if seen[0] == seen[1] {
			continue
		}
		if uses.ReplaceAllString(seen[0], "") == uses.ReplaceAllString(seen[1], "") {
			reused++
			continue
		}
		t.Errorf("call %d: %s\nthe API responds by HTTP/%d: %.500s", n, c, 1+n%2, fmt.Sprintf("%+v", c.reply))
		t.Errorf("short way: %s\nlong way: %s", difference(seen[0], seen[1]), difference(seen[1], seen[0]))
		if differences++; differences == 10 {
			t.Fatal("and so on")
		}
	}
	// A client of net/http gives a connection up if the goroutine that has written the request
	// does not run for 50 ms.
	if reused > 1+made/100 {
		t.Errorf("of %d calls, %d found a connection that was used before on one way only", made, reused)
	}
	compareMetrics(t, admin)
	if err := caddy.Stop(); err != nil { // then all is logged
		t.Fatal(err)
	}
	logged := compareLogs(t, f.logged(), lanes, func(n int) bool { return generated(n).reply.early })
	if logged < made*9/10 {
		t.Errorf("only %d of %d calls were logged", logged, made)
	}
}

// String describes the request of c.
func (c *wireCall) String() string {
	return fmt.Sprintf("%s %s %q, body %s of %d bytes, wait %t, cut %t, HTTP/1.0 %t, HTTP/2 %t", c.method, c.target, c.fields, c.framing, len(c.body), c.wait, c.cut, c.old, c.http2)
}

// compareMetrics asserts that the gateways have the same metrics, but for durations, and for
// requests for tokens: some may be under way when a test ends, whichever way calls take.
func compareMetrics(t *testing.T, admin string) {
	t.Helper()
	server := regexp.MustCompile(`client(\d+)way(\d)`)
	state := regexp.MustCompile(`,state="\w+"`)
	var differ string
	for range 100 { // some are counted after the response
		var metrics [2][]string
		served := [2]map[string]int{make(map[string]int), make(map[string]int)} // by client and API
		for line := range strings.Lines(scrapeText(t, admin)) {
			match := server.FindStringSubmatch(line)
			name, _, _ := strings.Cut(line, "{")
			if match == nil || (strings.Contains(name, "_seconds_") && !strings.HasSuffix(name, "_count")) || strings.Contains(name, "expires") || strings.Contains(name, "_token_request") {
				continue
			}
			way := match[2][0] - '0'
			if strings.HasSuffix(name, "_tokens_served_total") {
				// The ways share a token, so only one of them waits for it.
				key, count, _ := strings.Cut(strings.TrimSpace(state.ReplaceAllString(line, "")), "} ")
				n, _ := strconv.Atoi(count)
				served[way][server.ReplaceAllString(key, "client$1")] += n
				continue
			}
			metrics[way] = append(metrics[way], server.ReplaceAllString(line, "client$1"))
		}
		if len(metrics[0]) == 0 {
			t.Fatal("there are no metrics")
		}
		short, long := strings.Join(metrics[0], "")+fmt.Sprintln(served[0]), strings.Join(metrics[1], "")+fmt.Sprintln(served[1])
		if differ = difference(short, long) + difference(long, short); short == long {
			return
		}
	}
	t.Errorf("metrics differ: %s", differ)
}

// compareLogs asserts that the gateways have logged the same about each call, and returns
// how many calls they have logged. early is whether the response to call n may come before
// its body has been read.
func compareLogs(t *testing.T, log string, lanes [][2]lane, early func(n int) bool) (calls int) {
	t.Helper()
	var entries [2]map[string][]string // by call
	for way := range entries {
		entries[way] = make(map[string][]string)
	}
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		request, _ := entry["request"].(map[string]any)
		header, _ := request["headers"].(map[string]any)
		number, _ := header["Accept-Case"].([]any)
		if number == nil || entry["msg"] == "selected upstream" {
			continue
		}
		for _, name := range []string{"ts", "duration", "err_id", "err_trace", "logger"} {
			delete(entry, name)
		}
		delete(request, "remote_port")
		if entry["msg"] != "handled request" { // Caddy's proxy adds these, and they do not leave
			for _, name := range []string{"Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				delete(header, name)
			}
		}
		if message, ok := entry["error"].(string); ok {
			entry["error"] = errorIDs.ReplaceAllString(message, "")
		}
		if response, ok := entry["resp_headers"].(map[string]any); ok && response["Trailer"] != nil {
			response["Trailer"] = sorted("Trailer: " + fmt.Sprint(response["Trailer"].([]any)...))
		}
		call := fmt.Sprint(number...)
		if n, _ := strconv.Atoi(call); request["proto"] != "HTTP/1.1" || early(n) {
			delete(entry, "bytes_read") // by chance, of a body that nobody needs
		}
		for _, pair := range lanes {
			for way, l := range pair {
				if host, _ := request["host"].(string); host == l.name || host == l.api {
					normal, _ := json.Marshal(entry)
					entries[way][call] = append(entries[way][call], l.normal(string(normal)))
				}
			}
		}
	}
	differences := 0
	for call, short := range entries[0] {
		long := entries[1][call]
		if slices.Sort(short); slices.Equal(short, slices.Sorted(slices.Values(long))) {
			continue
		}
		t.Errorf("log of call %s:\nshort way: %q\nlong way: %q", call, without(short, long), without(long, short))
		if differences++; differences == 10 {
			t.Fatal("and so on")
		}
	}
	return len(entries[0])
}

// difference returns the lines of a that b does not have.
func difference(a, b string) string {
	return fmt.Sprintf("%.600q", without(strings.Split(a, "\n"), strings.Split(b, "\n")))
}

// without returns what only a has.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
