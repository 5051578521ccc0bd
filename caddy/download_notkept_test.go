package caddyesign_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// twoUsers is a site with two callers, "app" and "other". The password of both is
// "correct".
const twoUsers = `basic_auth {
	app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
	other $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
}
bankid_esign signdoc {
	callers CALLERS
	upstream signdoc UPSTREAM_URL
}`

// basicAuth returns the Authorization field for a user of twoUsers.
func basicAuth(user string) []string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, "correct")
	return []string{"Authorization", req.Header.Get("Authorization")}
}

func TestDownloadsAreForTheirCallerAndSite(t *testing.T) {
	for _, callers := range []string{"authenticated", "any"} {
		f := newFixture(t)
		o := f.serving(newOrders(1000))
		o.stopAt("middle")
		other := ports.Address(t)
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
		// Another site, by address or by name, may mean another "app".
		for _, elsewhere := range []struct{ address, host string }{
			{other, other}, {other, f.addr}, {f.addr, "other.example"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), "DELETE", "http://"+elsewhere.address+download("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = elsewhere.host
			req.SetBasicAuth("app", "correct")
			roundTrip(t, req).is(404)
		}
		f.upstream.seen()
		f.do("DELETE", download("x"), "", basicAuth("app")...).is(200)
		if n := f.deletes(); n != 0 {
			t.Errorf("upstream saw %d more downloads for the download that was kept", n)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// If callers cannot be told apart, the call ends with its caller.
func TestNothingIsKeptForACallerThatCannotBeTold(t *testing.T) {
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

func TestTooLargeDownloadEndsWithItsCaller(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		aborted := make(chan struct{})
		o := f.serving(newOrders(0))
		o.respondWith(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(200<<20))
			_, _ = w.Write(make([]byte, 64<<10))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(aborted)
		})
		f.startH2C(localSite)
		caller := f.newLeaver(protocol, "DELETE", download("x"), "")
		res := <-caller.response // the response is passed on as it comes
		if _, err := io.CopyN(io.Discard, res.Body, 32<<10); err != nil {
			t.Fatal(err)
		}
		caller.leave()
		res.Body.Close()
		<-aborted
		f.noticed("download not kept: it does not fit", "x", 1)
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if len(f.downloadLog(goesOn, "x")) != 0 || len(f.downloadLog(isKept+":", "x")) != 0 {
			t.Error("the log says that it was kept")
		}
	}
}

// If a response is incomplete, a caller that stays gets what has arrived, and the next
// call goes to the server.
func TestWhatIsNotWholeIsNotKept(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(0))
	f.start(localSite)
	for name, response := range map[string]http.HandlerFunc{
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
			o.respondWith(response)
			for range 2 {
				res := <-f.newLeaver("h1", "DELETE", download(name), "").response
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
	for name, response := range map[string]http.HandlerFunc{
		"refused":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the order is not complete", 400) },
		"accepted": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); _, _ = io.WriteString(w, "later") },
		"empty":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) },
		"nothing":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"reset":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			f.in(t)
			o.respondWith(response)
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

// If the call was not sent yet, nothing is lost, and the caller can retry.
func TestCallerThatLeftIsNotCalledFor(t *testing.T) {
	t.Run("waiting for a token", func(t *testing.T) {
		f := newFixture(t)
		f.serving(newOrders(1000))
		hang := make(chan struct{})
		f.issuer.HandleToken(func(http.ResponseWriter, *http.Request) { <-hang })
		// Another server is asked about the call before it can wait for a token.
		asked, door := make(chan struct{}, 1), newUpstream(t)
		door.handle(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })
		f.start("@download method DELETE\nforward_auth @download " + door.URL + " {\nuri /\n}\n" + oneAPISite(f))
		caller := f.newLeaver("h1", "DELETE", download("x"), "")
		<-asked
		caller.leave()
		<-caller.response
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
		address := ports.Address(t)
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
