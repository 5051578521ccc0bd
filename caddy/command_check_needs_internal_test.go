package caddyesign

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestNeedsAreFoundWhereverTheyStand(t *testing.T) {
	cfg, err := readConfig("-", "caddyfile", strings.NewReader(`{
		bankid_esign {
			environment sandbox
		}
	}
	(snippet) {
		bankid_esign csc {
			callers local
		}
	}
	:8080 {
		handle /a/* {
			route {
				import snippet
			}
		}
		reverse_proxy 127.0.0.1:9771 {
			transport bankid_esign {
				api signdoc timestamp
				client other
				scope esign/nnin
			}
		}
		handle_errors {
			bankid_esign csc {
				client other
			}
		}
	}
	:8081 {
		bankid_esign b2b {
			client seal
		}
		invoke named
	}
	&(named) {
		bankid_esign signdoc csc {
			@gone status 410
			handle_response @gone {
				bankid_esign timestamp {
					client inner
				}
			}
		}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	needs, err := findNeeds(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{ [esign] false} { [esign/csc] false} {inner [esign/qtsa] false} {other [esign esign/nnin] false} {other [esign/csc] false} " +
		"{other [esign/nnin esign/qtsa] false} {seal [esign/b2b] true}]"
	if got := fmt.Sprint(needs); got != want {
		t.Errorf("it finds\n%s, want\n%s", got, want)
	}
}

func TestNeedsOfWhatCannotBeLoaded(t *testing.T) {
	for raw, want := range map[string]string{
		`{"handler":"bankid_esign","apis":"csc"}`:                          "cannot unmarshal",
		`{"handler":"bankid_esign"}`:                                       "no API is given",
		`[{"x":{"protocol":"bankid_esign","apis":["b2b"]}}]`:               "b2b needs a client of its own",
		`{"routes":[{"handler":"bankid_esign","apis":["csc","nothing"]}]}`: "unknown API 'nothing'",
	} {
		if _, err := findNeeds(&caddy.Config{AppsRaw: caddy.ModuleMap{"http": []byte(raw)}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", raw, err, want)
		}
	}
}
