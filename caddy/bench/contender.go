package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// A contender is a proxy that is measured.
type contender struct {
	name   string
	scheme string // that the upstream must see, "" if none
	proof  bool   // whether it must see a DPoP proof

	// command returns the program and its arguments, and writes the files that it
	// needs.
	command func(setting) ([]string, error)
}

// setting is the environment of a contender.
type setting struct {
	dir      string // its own
	programs programs
	h1, h2   string // the addresses to listen on, for HTTP/1.1 and for h2c
	upstream string // URL
	ca       string // the file with the authority that the upstream is known by
	issuer   *issuer
}

// setting returns the environment of a contender, with or without TLS towards the
// upstream.
func (b *bench) setting(tls bool, i *issuer) setting {
	return setting{programs: b.programs, upstream: b.upstream.url(tls), ca: b.upstream.ca, issuer: i}
}

// env are the environment variables of a contender.
func (s setting) env() []string {
	return []string{"BENCH_SECRET=secret", "SSL_CERT_FILE=" + s.ca}
}

// constant is the Authorization of contenders that do not obtain a token.
var constant = "Bearer 1" + accessToken

// These are names of contenders that others are compared with.
const (
	floorName  = "floor"
	bareName   = "bare"
	bearerName = "gateway, bearer"
	oauth2Name = "Go proxy, x/oauth2"
)

// contenders returns all contenders, the floor first.
func contenders() []contender {
	return []contender{
		floor,
		bare,
		{"plain reverse_proxy", "", false, caddy("", `reverse_proxy UPSTREAM`)},
		bearer(""),
		{"gateway, DPoP", "DPoP", true, caddy(`bankid_esign {
			issuer ISSUER
			client b2b {
				client_id bench
				client_secret {env.BENCH_SECRET}
			}
		}`, `bankid_esign b2b {
			client b2b
			callers local
			upstream b2b UPSTREAM
			call b2b GET `+path+` dpop safe
			call b2b POST `+path+` dpop rejected
		}`)},
		goProxy,
		{"nginx", "Bearer", false, nginx},
	}
}

// floor does the work of a proxy, without a token.
var floor = contender{floorName, "Bearer", false, caddy("", `reverse_proxy UPSTREAM {
	header_up Authorization "`+constant+`"
}`)}

// bare is the reverse proxy of Go's library in Caddy, and none of the token.
var bare = contender{bareName, "Bearer", false, func(s setting) ([]string, error) {
	directive := "bare UPSTREAM \"" + constant + "\""
	return append([]string{s.programs.bare}, caddyArgs(s)...), writeCaddyfile(s, "", directive)
}}

// bearer returns the gateway, with further options of its app.
func bearer(options string) contender {
	return contender{bearerName, "Bearer", false, caddy(`bankid_esign {
		issuer ISSUER
		client_id bench
		client_secret {env.BENCH_SECRET}
		`+options+`
	}`, `bankid_esign signdoc {
		callers local
		upstream signdoc UPSTREAM
	}`)}
}

// caddy returns the command of the gateway's binary with the given global option
// and directive.
func caddy(global, directive string) func(setting) ([]string, error) {
	return func(s setting) ([]string, error) {
		return append([]string{s.programs.gateway}, caddyArgs(s)...), writeCaddyfile(s, global, directive)
	}
}

// caddyArgs are the arguments of a Caddy.
func caddyArgs(s setting) []string {
	return []string{"run", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile"}
}

// writeCaddyfile writes the configuration of a Caddy. It serves both addresses in the same
// way, since nginx needs two.
func writeCaddyfile(s setting, global, directive string) error {
	text := `{
	admin off
	persist_config off
	log {
		level ERROR
	}
	servers {
		protocols h1 h2c
	}
	` + global + `
}
http://:` + port(s.h1) + `, http://:` + port(s.h2) + ` {
	bind 127.0.0.1
	` + directive + `
}
`
	text = strings.ReplaceAll(text, "UPSTREAM", s.upstream)
	if s.issuer != nil {
		text = strings.ReplaceAll(text, "ISSUER", s.issuer.Issuer())
	}
	return os.WriteFile(filepath.Join(s.dir, "Caddyfile"), []byte(text), 0o600)
}

// goProxy is a simple proxy in Go.
var goProxy = contender{oauth2Name, "Bearer", false, func(s setting) ([]string, error) {
	return []string{
		s.programs.oauth2Proxy, "-listen", s.h1 + "," + s.h2, "-upstream", s.upstream, "-token-url", s.issuer.tokenURL(),
	}, nil
}}

// nginx passes bodies on as they come, like the others. By default, it would buffer them
// in files.
func nginx(s setting) ([]string, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // or its workers cannot use the directory
	}
	scheme, address, _ := strings.Cut(s.upstream, "://")
	text := user + `
daemon off;
worker_processes auto;
pid ` + s.dir + `/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path ` + s.dir + `/body;
	proxy_temp_path ` + s.dir + `/proxy;
	fastcgi_temp_path ` + s.dir + `/fastcgi;
	uwsgi_temp_path ` + s.dir + `/uwsgi;
	scgi_temp_path ` + s.dir + `/scgi;
	client_max_body_size 0;
	keepalive_requests 100000000;
	upstream api {
		server ` + address + `;
		keepalive 32;
		keepalive_requests 100000000;
	}
	server {
		listen ` + s.h1 + `;
		listen ` + s.h2 + ` http2;
		location / {
			proxy_pass ` + scheme + `://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Authorization "` + constant + `";
			proxy_buffering off;
			proxy_request_buffering off;
		}
	}
}
`
	conf := filepath.Join(s.dir, "nginx.conf")
	return []string{s.programs.nginx, "-p", s.dir, "-e", "stderr", "-c", conf}, os.WriteFile(conf, []byte(text), 0o600)
}

// A runner is a running contender.
type runner struct {
	contender
	*process
	h1, h2 string
}

// run starts a contender and waits until it listens.
func (c contender) run(ctx context.Context, s setting) (*runner, error) {
	var err error
	if s.dir, err = os.MkdirTemp(s.programs.dir, "run"); err != nil {
		return nil, err
	}
	if s.h1, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.h2, err = freeAddress(); err != nil {
		return nil, err
	}
	args, err := c.command(s)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, s.dir, s.env(), args[0], args[1:]...)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", c.name, err)
	}
	if err := p.awaitPort(s.h1); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %v", c.name, err)
	}
	return &runner{c, p, s.h1, s.h2}, nil
}

// check checks that the upstream sees what the contender adds.
func (r *runner) check(ctx context.Context) error {
	body, err := r.await(ctx, "http://"+r.h1+path)
	if err != nil {
		return fmt.Errorf("%s: %v", r.name, err)
	}
	var seen struct {
		Scheme string `json:"scheme"`
		Proof  bool   `json:"proof"`
	}
	if err := json.Unmarshal(body, &seen); err != nil {
		return fmt.Errorf("%s: %v", r.name, err)
	}
	if seen.Scheme != r.scheme || seen.Proof != r.proof {
		return fmt.Errorf("%s: the upstream sees the scheme %q, proof: %t", r.name, seen.Scheme, seen.Proof)
	}
	return nil
}

// freeAddress returns a loopback address that is not in use.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// port returns the port of address.
func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }
