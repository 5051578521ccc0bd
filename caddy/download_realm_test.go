package caddyesign_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// twoRealms are sites where a user "app" of two realms reaches a gateway. REALM is the
// realm of calls with the header field X-Realm.
var twoRealms = map[string]string{
	"one gateway": `@other header X-Realm *
		@first not header X-Realm *
		basic_auth @first bcrypt first {
			USER
		}
		basic_auth @other bcrypt other {
			USER
		}
		GATEWAY`,
	"two gateways": `@other header X-Realm *
		handle @other {
			basic_auth bcrypt other {
				USER
			}
			GATEWAY
		}
		handle {
			basic_auth bcrypt first {
				USER
			}
			GATEWAY
		}`,
	"named routes": `@other header X-Realm *
		route @other {
			basic_auth bcrypt other {
				USER
			}
			invoke gateway
		}
		route {
			basic_auth bcrypt first {
				USER
			}
			invoke gateway
		}`,
}

func TestDownloadsAreForTheirRealm(t *testing.T) {
	for name, site := range twoRealms {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			o := f.serving(newOrders(1000))
			gateway := "bankid_esign signdoc {\nupstream signdoc " + f.upstream.URL + "\n}"
			site = strings.NewReplacer(
				"USER", "app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW", "GATEWAY", gateway).Replace(site)
			config := f.caddyfile(site)
			if strings.Contains(site, "invoke") {
				config += "\n&(gateway) {\n" + gateway + "\n}\n"
			}
			f.load(adapt(t, config))
			app := basicAuth("app")
			f.do("DELETE", download("x"), "", app...).is(200)
			f.do("DELETE", download("x"), "", append(app, "X-Realm", "1")...).is(404)
			if n := f.deletes(); n != 2 {
				t.Errorf("upstream saw %d downloads, want 2: one for each realm", n)
			}
			got := f.do("DELETE", download("x"), "", app...).is(200)
			if string(got.body) != string(o.document("x")) || f.deletes() != 0 {
				t.Error("the realm of the download does not get it")
			}
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The identity of a caller contains the path as it came: handlers may have stripped a
// prefix that tells two applications apart.
func TestDownloadsAreForTheirPath(t *testing.T) {
	f := newFixture(t)
	f.serving(newOrders(1000))
	gateway := "bankid_esign signdoc {\ncallers local\nupstream signdoc " + f.upstream.URL + "\n}"
	f.start("handle_path /a/* {\n" + gateway + "\n}\nhandle_path /b/* {\n" + gateway + "\n}")
	f.do("DELETE", "/a"+download("x"), "").is(200)
	f.do("DELETE", "/b"+download("x"), "").is(404)
	f.do("DELETE", "/a"+download("x"), "").is(200)
}

// Without an identity, nothing is kept, and that is said at load.
func TestWarningIfNothingIsKept(t *testing.T) {
	const want = "downloads are not kept"
	anybody := strings.Replace(localSite, "local", "any", 1)
	for _, test := range []struct {
		name, app, site string
		warns           bool
	}{
		{"any", "", anybody, true},
		{"any, in the storage", "downloads storage", anybody, true},
		{"off", "downloads off", anybody, false},
		{"local", "", localSite, false},
		{"any with authentication", "", "basic_auth {\napp $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW\n}\n" + anybody, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.global, f.app = "storage file_system "+storageDir(t), test.app
			f.start(test.site)
			if got := strings.Contains(f.logged(), want); got != test.warns {
				t.Errorf("it warns: %t", got)
			}
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// With `downloads off`, a call ends with its caller.
func TestDownloadsOff(t *testing.T) {
	f := newFixture(t)
	f.serving(newOrders(1000))
	f.app = "downloads off"
	f.start(localSite)
	f.do("DELETE", download("x"), "").is(200)
	f.do("DELETE", download("x"), "").is(404)
	if n := f.deletes(); n != 2 {
		t.Errorf("upstream saw %d downloads, want 2", n)
	}
}
