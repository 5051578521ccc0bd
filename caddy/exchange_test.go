package caddyesign_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// If an error route makes another call by the same gateway, that is not a retry of the
// first call: it has its own token, and is sent.
func TestAnotherCallOfTheSameRequest(t *testing.T) {
	const first, second = "/v1/signdoc/pades", "/csc/v2/oauth2/token"
	for name, options := range map[string]string{"short way": "", "long way": "verbose_logs"} {
		for _, body := range []string{"", "body"} {
			t.Run(name+" "+body, func(t *testing.T) {
				f := newFixture(t)
				f.upstream.handle(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == first {
						panic(http.ErrAbortHandler)
					}
				})
				f.site = fmt.Sprintf("&(gateway) {\nbankid_esign signdoc csc {\ncallers local\nupstream signdoc %[1]s\nupstream csc %[1]s\n%s\n}\n}\n%s", f.upstream.URL, options, f.site)
				f.start("invoke gateway\nhandle_errors {\nrewrite * " + second + "\ninvoke gateway\n}")
				f.do("POST", first, body).is(200)
				calls := f.upstream.seen()
				if len(calls) != 2 || calls[1].URL.Path != second || string(calls[1].body) != body {
					t.Fatalf("the upstream saw %d calls, want 2: the first one, and that of the error route", len(calls))
				}
				if calls[0].Header.Get("Authorization") == calls[1].Header.Get("Authorization") {
					t.Error("the second call has the token of another API")
				}
			})
		}
	}
}

// The second gateway that a request comes to counts its own refusals, and an error is
// counted by the gateway where it occurred.
func TestMetricsOfTwoGateways(t *testing.T) {
	f := newFixture(t)
	f.app = "client outer {\nclient_id outer-client\nclient_secret {file." + f.secret + "}\n}\nclient inner {\nclient_id inner-client\nclient_secret {file." + f.secret + "}\n}"
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	site := func(client, upstream, options string) string {
		return "bankid_esign signdoc {\ncallers local\nclient " + client + "\nupstream signdoc " + upstream + "\n" + options + "\n}"
	}
	dead := "http://" + ports.Address(t)
	const total = `refusals_total{client="%s",reason="%s",status="%d"}`
	for name, test := range map[string]struct {
		site string
		want map[string]float64
	}{
		"error route refuses": {
			site("outer", dead, "") + "\nhandle_errors {\nrewrite * /nowhere\n" + site("inner", dead, "") + "\n}",
			map[string]float64{
				fmt.Sprintf(total, "outer", "connection_refused", 502):  1,
				fmt.Sprintf(total, "inner", "http_request_denied", 404): 1,
			},
		},
		"error route fails": {
			site("outer", dead, "") + "\nhandle_errors {\n" + site("inner", dead, "") + "\n}",
			map[string]float64{
				fmt.Sprintf(total, "outer", "connection_refused", 502): 1,
				fmt.Sprintf(total, "inner", "connection_refused", 502): 1,
			},
		},
		"response route fails": {
			site("outer", f.upstream.URL, "@none status 404\nhandle_response @none {\n"+site("inner", dead, "")+"\n}"),
			map[string]float64{
				fmt.Sprintf(total, "outer", "connection_refused", 502): 0,
				fmt.Sprintf(total, "inner", "connection_refused", 502): 1,
			},
		},
		"response route refuses": {
			site("outer", f.upstream.URL, "@none status 404\nhandle_response @none {\nrewrite * /nowhere\n"+site("inner", dead, "")+"\n}"),
			map[string]float64{
				fmt.Sprintf(total, "outer", "http_request_denied", 404): 0,
				fmt.Sprintf(total, "inner", "http_request_denied", 404): 1,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.in(t)
			before := f.earlier()
			admin := f.startMeasured(test.site)
			f.do("GET", path, "")
			grew(t, admin, before, test.want)
		})
	}
}

// The transport of an operator's own reverse_proxy remembers a call that it has sent,
// wherever the proxy is.
func TestNoRetryByAnOwnProxyInAnyRoute(t *testing.T) {
	for name, site := range map[string]string{
		"named route": "&(own) {\n%s\n}\nSITE {\nbind 127.0.0.1\ninvoke own\n}",
		"error route": "SITE {\nbind 127.0.0.1\nerror 500\nhandle_errors {\n%s\n}\n}",
		"site":        "SITE {\nbind 127.0.0.1\n%s\n}",
		"intercept":   "SITE {\nbind 127.0.0.1\nintercept {\nhandle_response {\n%s\n}\n}\nrespond ok\n}",
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				calls.Add(1)
				panic(http.ErrAbortHandler)
			}))
			defer api.Close()
			f := newFixture(t)
			own := "reverse_proxy " + api.URL + " {\nlb_retries 3\ntransport bankid_esign {\napi signdoc\nupstream " + api.URL + "\ncall signdoc GET /v1/once bearer never\n}\n}"
			config := f.caddyfile("respond unused")
			config = config[:strings.LastIndex(config, f.site)] + strings.Replace(fmt.Sprintf(site, own), "SITE", f.site, 1)
			f.load(adapt(t, config))
			f.do("GET", "/v1/once", "")
			if n := calls.Load(); n != 1 {
				t.Errorf("the call was sent %d times", n)
			}
		})
	}
}

// A call has one token, also if its body is streamed.
func TestMetricsOfALongBody(t *testing.T) {
	for name, size := range map[string]int{"short": 1 << 10, "long": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.app = "client long {\nclient_id long-client\nclient_secret {file." + f.secret + "}\n}"
			before := f.earlier()
			admin := f.startMeasured("bankid_esign signdoc {\ncallers local\nclient long\nupstream signdoc " + f.upstream.URL + "\n}")
			f.do("GET", path, "").is(200)
			f.do("POST", path, strings.Repeat("x", size)).is(200)
			f.do("POST", path, strings.Repeat("x", size)).is(200)
			after, served := newScrape(t, admin), 0.0
			for _, state := range []string{"fresh", "stale", "waited"} {
				name := `caddy_bankid_esign_tokens_served_total{api="signdoc",client="long",state="` + state + `"}`
				served += after[name] - before[name]
			}
			if served != 3 {
				t.Errorf("%v tokens were served to 3 calls", served)
			}
		})
	}
}

// A call that the transport refuses because of its body gets the response of the gateway,
// with nothing of the reverse_proxy in it.
func TestRefusalOfABodyIsTheGatewaysOwn(t *testing.T) {
	for option, name := range map[string]string{
		"":                          "bankid_esign",
		"proxy_status_name signing": "signing",
		"header_down X-Down down":   "bankid_esign",
	} {
		t.Run(option, func(t *testing.T) {
			f := newFixture(t)
			f.start("header X-Before before\nrequest_body {\nmax_size 1KB\n}\n" + gatewayTo(f.upstream.URL, option, ""))
			req, _ := http.NewRequestWithContext(t.Context(), "POST", f.url+path, io.LimitReader(strings.NewReader(strings.Repeat("x", 2000)), 2000))
			a := roundTrip(t, req).is(413)
			if got := a.Header.Get("Proxy-Status"); !strings.HasPrefix(got, name+";error=http_request_error") {
				t.Errorf("Proxy-Status is %q", got)
			}
			if a.Header.Get("Via") != "" || a.Header.Get("Server") != "Caddy" || a.Header.Get("X-Down") != "" || a.Header.Get("X-Before") != "before" {
				t.Errorf("the header is %v", a.Header)
			}
		})
	}
}
