package caddyesign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddyserver/caddy/v2"
)

// orders is an upstream that gives each document once, and can be stopped at any
// stage of that.
type orders struct {
	mu    sync.Mutex
	taken map[string]bool

	size    int              // of a document
	chunked bool             // says no length
	stage   string           // where to stop: "header", "start", "middle", "end", or "" for not at all
	reached chan struct{}    // it stopped there
	goOn    chan struct{}    // lets it go on
	aborted chan error       // gets why a call ended before its answer was whole
	always  http.HandlerFunc // instead of a document
}

// newOrders returns orders of documents of size bytes.
func newOrders(size int) *orders {
	return &orders{
		taken: make(map[string]bool), size: size,
		reached: make(chan struct{}, 1), goOn: make(chan struct{}), aborted: make(chan error, 1),
	}
}

// document returns the document of an order.
func (o *orders) document(signID string) []byte {
	return bytes.Repeat([]byte(signID+"."), o.size/(len(signID)+1)+1)[:o.size]
}

// stop waits at stage if it is the one to stop at. It reports false if the call
// was cancelled meanwhile.
func (o *orders) stop(r *http.Request, stage string) bool {
	o.mu.Lock()
	here := o.stage == stage
	o.mu.Unlock()
	if !here {
		return true
	}
	o.reached <- struct{}{}
	select {
	case <-o.goOn:
		return true
	case <-r.Context().Done():
		o.aborted <- context.Cause(r.Context())
		return false
	}
}

// stopAt sets the stage to stop at.
func (o *orders) stopAt(stage string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stage = stage
}

// ServeHTTP implements http.Handler.
func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signID := r.URL.Query().Get("sign_id")
	o.mu.Lock()
	taken := o.taken[signID]
	if r.Method == http.MethodDelete {
		o.taken[signID] = true
	}
	o.mu.Unlock()
	if o.always != nil {
		o.always(w, r)
		return
	}
	if taken {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !o.stop(r, "header") {
		return
	}
	document := o.document(signID)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Order", signID)
	w.Header().Set("Cache-Control", "no-store")
	if !o.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	}
	w.WriteHeader(http.StatusOK)
	controller := http.NewResponseController(w)
	sent := 0
	for _, part := range []struct {
		stage string
		until int
	}{{"start", 0}, {"middle", len(document) / 2}, {"end", len(document) - 1}} {
		if n, err := w.Write(document[sent:part.until]); err != nil || n != part.until-sent {
			return
		}
		sent = part.until
		if err := controller.Flush(); err != nil || !o.stop(r, part.stage) {
			return
		}
	}
	_, _ = w.Write(document[sent:])
}

// serving makes the fixture's upstream one of orders.
func (f *fixture) serving(o *orders) *orders {
	f.upstream.handle(o.ServeHTTP)
	return o
}

// deletes returns how many downloads the upstream saw since the last time.
func (f *fixture) deletes() int {
	n := 0
	for _, call := range f.upstream.seen() {
		if call.Method == http.MethodDelete {
			n++
		}
	}
	return n
}

// A leaver is a caller that can leave.
type leaver struct {
	transport *http.Transport
	leave     context.CancelFunc
	answer    chan *http.Response // closed if there is none
}

// newLeaver begins a request to the gateway.
func (f *fixture) newLeaver(protocol, method, path, body string, header ...string) *leaver {
	f.t.Helper()
	ctx, leave := context.WithCancel(f.t.Context())
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	l := &leaver{leave: leave, answer: make(chan *http.Response, 1), transport: &http.Transport{Protocols: new(http.Protocols)}}
	l.transport.Protocols.SetHTTP1(protocol == "h1")
	l.transport.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
	f.t.Cleanup(func() {
		leave()
		l.transport.CloseIdleConnections()
	})
	go func() {
		defer close(l.answer)
		if res, err := l.transport.RoundTrip(req); err == nil {
			l.answer <- res
		}
	}()
	return l
}

// download is what callers that leave ask for.
func download(signID string) string { return "/v1/signdoc/pades?sign_id=" + signID }

// orderHash is how the log names an order.
func orderHash(signID string) string {
	sum := sha256.Sum256([]byte(signID))
	return hex.EncodeToString(sum[:8])
}

// noticed waits until the log says of the order what happened to it, n times.
func (f *fixture) noticed(message, signID string, n int) {
	f.t.Helper()
	eventually(f.t, func() bool { return len(f.oneShotLog(message, signID)) == n })
}

// oneShotLog returns the lines of the log with the message about an order.
func (f *fixture) oneShotLog(message, signID string) []string {
	f.t.Helper()
	var lines []string
	for line := range strings.Lines(f.logged()) {
		var entry struct{ Msg, Order string }
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, message) && entry.Order == orderHash(signID) {
			lines = append(lines, line)
		}
	}
	return lines
}

// What the log says of a one-shot call.
const (
	goesOn     = "one-shot call goes on"
	isKept     = "one-shot answer held"
	handedOver = "one-shot answer handed over"
)

// startH2C is start with a server that takes HTTP/2 without TLS, too.
func (f *fixture) startH2C(site string) {
	f.t.Helper()
	config := strings.Replace(f.caddyfile(site), "log_credentials", "log_credentials\nprotocols h1 h2c", 1)
	if err := caddy.Load(adapt(f.t, config), true); err != nil {
		f.t.Fatal(err)
	}
}

// rescued asserts that the next download gets the whole document, and that the
// upstream saw one in all.
func (f *fixture) rescued(o *orders, signID string, header ...string) {
	f.t.Helper()
	answer := f.do("DELETE", download(signID), "", header...).is(200)
	if !bytes.Equal(answer.body, o.document(signID)) {
		f.t.Errorf("the next download brought %d bytes, want the document of %d", len(answer.body), o.size)
	}
	if answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("X-Order") != signID ||
		answer.Header.Get("Cache-Control") != "no-store" || answer.ContentLength != int64(o.size) {
		f.t.Errorf("the next download has the header %v", answer.Header)
	}
	if n := f.deletes(); n != 1 {
		f.t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

// The caller leaves while the server is at some stage of its answer.
func TestCallerLeavesWhileTheServerAnswers(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		for _, chunked := range []bool{false, true} {
			f := newFixture(t)
			o := f.serving(newOrders(100_000))
			o.chunked = chunked
			f.startH2C(localSite)
			for _, test := range []struct{ stage, body string }{
				{"header", ""}, {"header", "{}"}, {"start", ""}, {"middle", ""}, {"end", ""},
			} {
				signID := fmt.Sprintf("%s-%t-%s-%d", protocol, chunked, test.stage, len(test.body))
				t.Run(signID, func(t *testing.T) {
					f.in(t)
					o.stopAt(test.stage)
					caller := f.newLeaver(protocol, "DELETE", download(signID), test.body)
					<-o.reached
					caller.leave()
					f.noticed(goesOn, signID, 1)
					o.goOn <- struct{}{}
					f.noticed(isKept, signID, 1)
					f.rescued(o, signID)
					f.noticed(handedOver, signID, 1)
				})
			}
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The caller leaves while the gateway hands the answer over: it is too large for
// what the kernel takes by itself.
func TestCallerLeavesDuringTheTransfer(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(20 << 20))
		f.startH2C(localSite)
		for _, test := range []struct {
			stage string
			read  int
		}{{"header", 0}, {"middle", 10 << 20}} {
			signID := protocol + "-" + test.stage
			t.Run(signID, func(t *testing.T) {
				f.in(t)
				caller := f.newLeaver(protocol, "DELETE", download(signID), "")
				res := <-caller.answer
				if _, err := io.CopyN(io.Discard, res.Body, int64(test.read)); err != nil {
					t.Fatal(err)
				}
				caller.leave()
				res.Body.Close()
				f.noticed(isKept, signID, 1)

				// The next transfer breaks off as well, and the one after it does not.
				caller = f.newLeaver(protocol, "DELETE", download(signID), "")
				res = <-caller.answer
				caller.leave()
				res.Body.Close()
				f.noticed(isKept, signID, 2)
				f.rescued(o, signID)
			})
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// A caller that crashes at the end of the transfer has got nothing, although
// everything was written to it.
func TestCallerLeavesAfterTheTransfer(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	f.start(localSite)
	for i, path := range []string{"/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"} {
		target := path + "?sign_id=order-" + strconv.Itoa(i)
		for range 3 {
			if got := f.do("DELETE", target, "").is(200).body; !bytes.Equal(got, o.document("order-"+strconv.Itoa(i))) {
				t.Errorf("%s: %d bytes came", path, len(got))
			}
		}
		if n := f.deletes(); n != 1 {
			t.Errorf("%s: upstream saw %d downloads, want 1", path, n)
		}
	}
	// Its documents are of another order, or of another API.
	f.do("DELETE", "/v1/timestamp/pades/lta?sign_id=order-0", "").is(404)
	f.do("GET", download("order-0"), "").is(404)
	if n := f.deletes(); n != 1 {
		t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

// twoUsers is a site with two callers, "app" and "other", whose password is
// "correct".
const twoUsers = `basic_auth {
	app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
	other $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
}
bankid_esign signdoc {
	callers CALLERS
	upstream signdoc UPSTREAM_URL
}`

// basicAuth returns the header field of a user of twoUsers.
func basicAuth(user string) []string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, "correct")
	return []string{"Authorization", req.Header.Get("Authorization")}
}

func TestAnswersAreForTheirCallerAndSite(t *testing.T) {
	for _, callers := range []string{"authenticated", "any"} {
		f := newFixture(t)
		o := f.serving(newOrders(1000))
		o.stopAt("middle")
		other := freeAddress(t)
		site := strings.NewReplacer("CALLERS", callers, "UPSTREAM_URL", f.upstream.URL).Replace(twoUsers)
		f.start(site + "\n}\nhttp://" + other + " {\nbind 127.0.0.1\n" + site)
		caller := f.newLeaver("h1", "DELETE", download("x"), "", basicAuth("app")...)
		<-o.reached
		caller.leave()
		f.noticed(goesOn, "x", 1)
		o.stopAt("")
		o.goOn <- struct{}{}
		f.noticed(isKept, "x", 1)
		if n := f.deletes(); n != 1 {
			t.Fatalf("upstream saw %d downloads, want 1", n)
		}
		f.do("DELETE", download("x"), "", basicAuth("other")...).is(404)
		f.do("DELETE", download("x"), "").is(401)
		f.do("DELETE", download("x")+"&sign_id=x", "", basicAuth("app")...).is(404)
		f.do("DELETE", download("y;sign_id=x"), "", basicAuth("app")...)
		req, err := http.NewRequestWithContext(t.Context(), "DELETE", "http://"+other+download("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("app", "correct")
		roundTrip(t, req).is(404)
		f.upstream.seen()
		f.do("DELETE", download("x"), "", basicAuth("app")...).is(200)
		if n := f.deletes(); n != 0 {
			t.Errorf("upstream saw %d more downloads for the answer that was held", n)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// Nobody can be told from anybody else: so the call ends with its caller.
func TestNothingIsHeldForACallerThatCannotBeTold(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	o.stopAt("header")
	f.start(strings.Replace(localSite, "local", "any", 1))
	caller := f.newLeaver("h1", "DELETE", download("x"), "")
	<-o.reached
	caller.leave()
	<-o.aborted
	f.do("DELETE", download("x"), "").is(404)
	if n := f.deletes(); n != 2 {
		t.Errorf("upstream saw %d downloads, want 2", n)
	}
}

func TestTooLargeAnswerEndsWithItsCaller(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		aborted := make(chan struct{})
		o := f.serving(newOrders(0))
		o.always = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(200<<20))
			_, _ = w.Write(make([]byte, 64<<10))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(aborted)
		}
		f.startH2C(localSite)
		caller := f.newLeaver(protocol, "DELETE", download("x"), "")
		res := <-caller.answer // comes as it is sent
		if _, err := io.CopyN(io.Discard, res.Body, 32<<10); err != nil {
			t.Fatal(err)
		}
		caller.leave()
		res.Body.Close()
		<-aborted
		f.noticed("one-shot answer not held: it does not fit", "x", 1)
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if len(f.oneShotLog(goesOn, "x")) != 0 || len(f.oneShotLog(isKept+":", "x")) != 0 {
			t.Error("the log says that it was held")
		}
	}
}

// A caller that stays gets what there is, and the next call goes to the server.
func TestWhatIsNotWholeIsNotHeld(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(0))
	f.start(localSite)
	for name, answer := range map[string]http.HandlerFunc{
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.in(t)
			o.always = answer
			for range 2 {
				res := <-f.newLeaver("h1", "DELETE", download(name), "").answer
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 200 || string(body) != "half" || err == nil {
					t.Errorf("the caller got %d, %q, %v", res.StatusCode, body, err)
				}
			}
			if n := f.deletes(); n != 2 {
				t.Errorf("upstream saw %d downloads, want 2", n)
			}
		})
	}
	for name, answer := range map[string]http.HandlerFunc{
		"refused":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the order is not complete", 400) },
		"accepted": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); _, _ = io.WriteString(w, "later") },
		"empty":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) },
		"nothing":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"reset":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			f.in(t)
			o.always = answer
			want := map[string]int{"refused": 400, "accepted": 202, "empty": 200, "nothing": 204, "reset": 502}[name]
			for range 2 {
				f.do("DELETE", download(name), "").is(want)
			}
			if n := f.deletes(); n != 2 {
				t.Errorf("upstream saw %d downloads, want 2", n)
			}
		})
	}
}

func TestSecondDownloadWaitsForTheFirst(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	o.stopAt("middle")
	f.start(localSite)
	first := f.newLeaver("h1", "DELETE", download("x"), "")
	<-o.reached
	second := f.newLeaver("h1", "DELETE", download("x"), "")
	impatient := f.newLeaver("h1", "DELETE", download("x"), "")
	// Another order does not wait.
	o.stopAt("")
	f.do("DELETE", download("y"), "").is(200)
	impatient.leave()
	if res, ok := <-impatient.answer; ok {
		t.Errorf("it was answered with %d", res.StatusCode)
	}
	first.leave()
	f.noticed(goesOn, "x", 1)
	o.goOn <- struct{}{}
	res := <-second.answer
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || err != nil || !bytes.Equal(body, o.document("x")) {
		t.Errorf("the second caller got %d and %d bytes, %v", res.StatusCode, len(body), err)
	}
	f.upstream.seen()
	f.do("DELETE", download("x"), "").is(200)
	if n := f.deletes(); n != 0 {
		t.Errorf("upstream saw %d more downloads", n)
	}
}

func TestAnswersOutliveReloads(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(1000))
		o.stopAt("middle")
		f.startH2C(localSite)
		caller := f.newLeaver(protocol, "DELETE", download("x"), "")
		<-o.reached
		caller.leave()
		f.noticed(goesOn, "x", 1)
		o.stopAt("")
		// Of another configuration, too: Caddy lets go of the old one when its
		// requests have ended, as far as it knows.
		reloaded := make(chan error, 1)
		config := adapt(t, f.caddyfile("header X-Config second\n"+strings.Replace(localSite, "callers local", "callers local\nreplay_buffer 2MiB", 1)))
		go func() { reloaded <- caddy.Load(config, true) }()
		eventually(t, func() bool { return f.do("GET", download("y"), "").Header.Get("X-Config") == "second" })
		o.goOn <- struct{}{}
		if err := <-reloaded; err != nil {
			t.Fatal(err)
		}
		f.noticed(isKept, "x", 1)
		f.rescued(o, "x")
		f.start(localSite)
		f.do("DELETE", download("x"), "").is(200)
		if n := f.deletes(); n != 0 {
			t.Errorf("upstream saw %d more downloads", n)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// What was not asked for yet is still there to be asked for.
func TestCallerThatLeftIsNotCalledFor(t *testing.T) {
	t.Run("waiting for a token", func(t *testing.T) {
		f := newFixture(t)
		f.serving(newOrders(1000))
		hang := make(chan struct{})
		f.issuer.HandleToken(func(http.ResponseWriter, *http.Request) { <-hang })
		// Before it can wait, it is asked about elsewhere.
		asked, door := make(chan struct{}, 1), newUpstream(t)
		door.handle(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })
		f.start("@download method DELETE\nforward_auth @download " + door.URL + " {\nuri /\n}\n" + oneAPISite(f))
		caller := f.newLeaver("h1", "DELETE", download("x"), "")
		<-asked
		caller.leave()
		<-caller.answer
		eventually(t, func() bool { return strings.Contains(f.logged(), `"status":499`) })
		f.issuer.HandleToken(nil)
		close(hang)
		eventually(t, func() bool { return f.do("GET", download("y"), "").StatusCode == 200 })
		if n := f.deletes(); n != 0 {
			t.Errorf("upstream saw %d downloads, want none", n)
		}
		f.do("DELETE", download("x"), "").is(200)
	})
	t.Run("server not there", func(t *testing.T) {
		f := newFixture(t)
		address := freeAddress(t)
		f.start(`bankid_esign signdoc {
			callers local
			upstream signdoc http://` + address + `
			lb_try_duration 1h
			lb_try_interval 5ms
		}`)
		caller := f.newLeaver("h1", "DELETE", download("x"), "")
		eventually(t, func() bool { return strings.Contains(f.logged(), "connection refused") })
		caller.leave()
		f.noticed(goesOn, "x", 1)
		eventually(t, func() bool { return strings.Contains(f.logged(), `"status":499`) })
	})
}

// oneAPISite is oneAPI with the fixture's upstream.
func oneAPISite(f *fixture) string { return strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1) }

// An answer that is held needs neither a token nor the server.
func TestHeldAnswerIsHandedOverInAnOutage(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	f.start(oneAPISite(f))
	f.do("DELETE", download("x"), "").is(200)
	f.issuer.Close()
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	f.rescued(o, "x")
}

// The answer passes through the same handlers again.
func TestHandlersAroundSeeAHeldAnswer(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(10_000))
	f.start(`encode {
		minimum_length 1
		match status 200
	}
	header >X-Late late
	header X-Early early
	` + strings.Replace(localSite, "UPSTREAM", "UPSTREAM\nheader_down X-Operator set", 1))
	first := f.do("DELETE", download("x"), "", "Accept-Encoding", "gzip").is(200)
	second := f.do("DELETE", download("x"), "", "Accept-Encoding", "gzip").is(200)
	plain := f.do("DELETE", download("x"), "").is(200)
	if first.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(first.body, second.body) {
		t.Errorf("gzipped, the answer has %d bytes at first, and then %d", len(first.body), len(second.body))
	}
	if !bytes.Equal(plain.body, o.document("x")) || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("plain, the answer has %d bytes", len(plain.body))
	}
	for _, answer := range []*answer{first, second, plain} {
		for name, want := range map[string]string{"X-Late": "late", "X-Early": "early", "X-Operator": "set", "Via": "1.1 Caddy", "Server": ""} {
			if got := answer.Header.Values(name); len(got) > 1 || answer.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if n := f.deletes(); n != 1 {
		t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

func TestMetricsAndLogOfHeldAnswers(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	o.stopAt("middle")
	admin := freeAddress(t)
	config := strings.Replace(f.caddyfile(localSite), "admin off", "admin "+admin, 1)
	if err := caddy.Load(adapt(t, config), true); err != nil {
		t.Fatal(err)
	}
	metric := func(name string) float64 {
		t.Helper()
		res, err := http.Get("http://" + admin + "/metrics") //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "caddy_bankid_esign_"+name+" "); ok {
				v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
	held, over := metric(`rescued_answers_total{result="held"}`), metric(`rescued_answers_total{result="handed_over"}`)
	caller := f.newLeaver("h1", "DELETE", download("secret-order"), "")
	<-o.reached
	caller.leave()
	f.noticed(goesOn, "secret-order", 1)
	o.goOn <- struct{}{}
	f.noticed(isKept, "secret-order", 1)
	f.rescued(o, "secret-order")
	f.noticed(handedOver, "secret-order", 1)
	if d := metric(`rescued_answers_total{result="held"}`) - held; d != 1 {
		t.Errorf("%v answers were held, want 1", d)
	}
	if d := metric(`rescued_answers_total{result="handed_over"}`) - over; d != 1 {
		t.Errorf("%v answers were handed over, want 1", d)
	}
	if n, size := metric("held_answers"), metric("held_bytes"); n != 1 || size < 1000 || size > 10_000 {
		t.Errorf("%v answers are held, of %v bytes", n, size)
	}
	for _, message := range []string{goesOn, isKept, handedOver} {
		line := f.oneShotLog(message, "secret-order")[0]
		if strings.Contains(line, "secret-order") || !strings.Contains(line, `"api":"signdoc"`) {
			t.Errorf("the log says %s", line)
		}
		if message != goesOn && !strings.Contains(line, `"bytes":1000`) {
			t.Errorf("the log says %s", line)
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestHeldAnswersLeaveNoGoroutine(t *testing.T) {
	f := newFixture(t)
	f.start("respond ok")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	o := f.serving(newOrders(1000))
	o.stopAt("middle")
	f.start(localSite)
	caller := f.newLeaver("h1", "DELETE", download("x"), "")
	<-o.reached
	caller.leave()
	f.noticed(goesOn, "x", 1)
	o.goOn <- struct{}{}
	f.noticed(isKept, "x", 1)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.logged(), "one-shot answer lost") {
		t.Error("the log does not say that a document went with the gateway")
	}
	f.issuer.Close()
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	caller.transport.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}
