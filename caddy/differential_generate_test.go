package caddyesign_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generated returns the call number n. It is the same in each run.
func generated(n int, http2Host bool) *wireCall {
	g := generator{rand.New(rand.NewPCG(18, uint64(n)))} //nolint:gosec // it need not be secret
	c := g.call(n)
	c.reply = g.reply(c, http2Host)
	return c
}

// A generator makes calls and the replies to them: most of them usual, each with a few
// things that are not.
type generator struct{ *rand.Rand }

// one reports true once in n times.
func (g generator) one(n int) bool { return g.IntN(n) == 0 }

// pick returns one of values.
func pick[T any](g generator, values ...T) T { return values[g.IntN(len(values))] }

// some returns up to three of fields, each of which may have several lines.
func (g generator) some(fields ...[]field) (chosen []field) {
	for range g.IntN(4) {
		chosen = append(chosen, pick(g, fields...)...)
	}
	return chosen
}

// text returns printable text of some length.
func (g generator) text() string {
	n := pick(g, 1, 2, 10, 100, 600, 3000, 5000)
	if g.one(20) {
		n = 40000
	}
	return strings.Repeat(pick(g, "a", "x\r\n", "é", "{}"), n)[:n]
}

// call makes the request of a call.
func (g generator) call(n int) *wireCall {
	c := &wireCall{framing: "none", http2: g.one(3)}
	method := pick(g,
		"GET /v1/signdoc/pades", "GET /v1/signdoc/pades", "POST /v1/signdoc/pades", "POST /v1/signdoc/pades", "DELETE /v1/signdoc/pades",
		"POST /v1/timestamp/pades/lta", "POST /csc/v2/info", "POST /csc/v2/credentials/list", "POST /csc/v2/oauth2/token",
		"HEAD /head", "PUT /put", "GET /get", "PATCH /nowhere")
	c.method, c.target, _ = strings.Cut(method, " ")
	c.safe = method == "GET /v1/signdoc/pades" || c.target == "/head" || c.target == "/csc/v2/info"
	switch {
	case c.method == "DELETE":
		c.target += fmt.Sprintf("?order=%d&", n) // a download is kept, and each must be another
	case g.one(2):
		c.target += "?"
	}
	if strings.Contains(c.target, "?") {
		for range g.IntN(4) {
			c.target += pick(g, "a=b", "&", ";", "a;b=c", "%zz", "%", "%2", "?", "=", "+", "%20", "é", "%C3%A9", `"<>`, "|{}^`", "a[]=1", "//", "..", "\\", "a=%00", "access_token", "#")
		}
	}
	c.absolute = !c.http2 && g.one(12)
	c.fields = append(g.some(requestFields(c.http2)...), field{"Accept-Case", fmt.Sprint(n)})
	if c.method == "POST" || c.method == "PUT" || c.method == "PATCH" || g.one(10) {
		c.framing, c.body = pick(g, "length", "length", "chunked"), g.text()
		if g.one(8) {
			c.body = ""
		}
		if c.framing == "chunked" && g.one(3) {
			c.trailer = []field{{"X-Trailer", "late"}}
			if !c.http2 { // there, Go's server ends the stream, and whether the body or the call ends first is by chance
				c.trailer = append(c.trailer, field{"Authorization", "Bearer planted"})
			}
			c.fields = append(c.fields, field{"Trailer", "X-Trailer"})
		}
		switch {
		case g.one(12):
			c.fields = append(c.fields, field{"Expect", "100-continue"})
			c.wait = true
		case g.one(20):
			c.cut = len(c.body) > 1 && !c.http2 // there, that is by chance too
		}
	}
	c.old = !c.http2 && !c.wait && c.framing != "chunked" && g.one(12)
	return c
}

// requestFields returns fields of requests.
func requestFields(http2 bool) [][]field {
	fields := [][]field{
		{{"Accept", "*/*"}},
		{{"Accept", "a"}, {"accept", "b"}},
		{{"ACCEPT", ""}},
		{{"Accept-Encoding", "gzip, br, zstd;q=0"}},
		{{"Accept-Encoding", "identity"}},
		{{"Content-Type", "application/json"}},
		{{"Content-Type", "a/b"}, {"Content-Type", "c/d"}},
		{{"content-encoding", "gzip"}},
		{{"User-Agent", "caller/1"}},
		{{"User-Agent", ""}},
		{{"user-agent", "a"}, {"User-Agent", "b"}},
		{{"Cookie", "a=b"}, {"Cookie", "c=d"}},
		{{"Referer", "http://localhost/"}},
		{{"Idempotency-Key", "1"}},
		{{"X-Http-Method-Override", "DELETE"}},
		{{"Authorization", "Bearer callers-own"}},
		{{"Authorization", "Basic YTpi"}},
		{{"Dpop", "proof"}},
		{{"Early-Data", "1"}},
		{{"Early-Data", "0"}},
		{{"X-Own", "1"}},
		{{"X-Own", "1"}},
		{{"X-Own", "1"}},
		{{"Via", "1.1 a"}},
		{{"X-Forwarded-For", "192.0.2.1"}},
		{{"Forwarded", "for=192.0.2.1"}},
		{{"Origin", "http://localhost"}},
		{{"Max-Forwards", "0"}},
		{{"Range", "bytes=0-1"}},
		{{"If-None-Match", `"a"`}},
		{{"Incremental", "?1"}},
		{{"Priority", "u=1"}},
		{{"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
		{{"Accept-Language", "\xc3\xa9\xff"}},
		{{"X_under", "1"}},
	}
	if !http2 {
		fields = append(fields, [][]field{
			{{"Connection", "close"}},
			{{"Connection", "keep-alive, Accept"}},
			{{"Connection", "Authorization"}},
			{{"connection", "x-own"}, {"Connection", "TE"}},
			{{"TE", "trailers"}, {"Connection", "TE"}},
			{{"TE", "gzip"}},
			{{"Keep-Alive", "timeout=5"}},
			{{"Proxy-Connection", "keep-alive"}},
			{{"Proxy-Authorization", "Basic YTpi"}},
			{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Key", "x"}},
			{{"Upgrade", "h2c"}, {"Connection", "Upgrade, HTTP2-Settings"}, {"HTTP2-Settings", "AAMAAABkAAQAAP__"}},
			{{"Upgrade", "\xff"}, {"Connection", "upgrade"}},
			{{"Accept ", "space"}},
			{{"Accept", " \tpadded\t "}},
		}...)
	}
	return fields
}

// reply makes the reply to a call.
func (g generator) reply(c *wireCall, http2 bool) wireReply {
	r := wireReply{framing: pick(g, "length", "length", "length", "chunked", "chunked", "close"), body: g.text()}
	r.status = pick(g, 200, 200, 200, 200, 200, 200, 201, 202, 203, 204, 205, 206, 226, 300, 301, 304, 307, 400, 404, 409, 413, 417, 418, 429, 451, 500, 501, 502, 503, 504, 511, 599, 999)
	r.reason = pick(g, "OK", "OK", "OK", "", "a Reason of its own", "\xff")
	if !http2 && g.one(15) {
		r.version = "1.0"
		if r.framing == "chunked" {
			r.framing = "close"
		}
	}
	r.fields = append(g.some(responseFields(http2)...), g.some(responseFields(http2)...)...)
	if g.one(8) {
		r.body = ""
	}
	if r.status == 204 || r.status == 304 || c.method == "HEAD" {
		r.framing = pick(g, "none", "none", "none", "length")
		r.body = ""
	}
	if c.method == "HEAD" && g.one(2) {
		r.fields = append(r.fields, field{"Content-Length", "1234"})
		r.framing = "none"
	}
	if r.body == "" && r.framing != "none" {
		r.framing = "length"
	}
	if r.framing != "length" || slices.ContainsFunc(r.fields, func(f field) bool { return f.name == "Incremental" }) {
		// Whether a Content-Type is guessed depends on what is earlier, the body or the flush.
		r.fields = append(r.fields, field{"Content-Type", "a/b"})
	}
	for g.one(6) {
		r.interim = append(r.interim, head{status: pick(g, 100, 102, 103, 103, 103, 110), reason: "Interim", fields: g.some(responseFields(http2)...)})
	}
	if (r.framing == "chunked" || http2) && r.body != "" && g.one(3) {
		r.trailer = pick(g,
			[]field{{"X-Checksum", "1"}}, []field{{"X-Checksum", "1"}, {"X-Checksum", "2"}}, []field{{"X-Checksum", "1"}, {"X-Unannounced", "2"}},
			[]field{{"Connection", "x"}}, []field{{"Alt-Svc", "clear"}, {"Server", "late"}}, []field{{"Content-Length", "3"}})
		if g.one(2) {
			r.fields = append(r.fields, field{pick(g, "Trailer", "trailer"), pick(g, "X-Checksum", "x-checksum, X-Never", "X-Checksum,X-Unannounced", "Content-Length")})
		}
	}
	switch {
	case g.one(8):
		r.fault = pick(g, "refused", "cut", "cut", "reset", "excess")
		if r.fault == "excess" && (http2 || r.framing == "close") {
			r.fault = ""
		}
	case g.one(15) && !http2:
		r.raw = pick(g,
			"garbage\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200\r\nContent-Type: a/b\r\n\r\nbody", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: gzip\r\n\r\nok",
			"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y",
			"HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Cut",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 304 Not Modified\r\n\r\nbody",
			"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 8)+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 200 OK\r\nX-Large: "+strings.Repeat("x", 200<<10)+"\r\nContent-Length: 2\r\n\r\nok")
	case g.one(15):
		r.early = c.framing != "none"
	}
	if r.fault == "reset" && (r.early || r.body == "") {
		r.fault = "" // it could destroy the response, or come while the connection is idle
	}
	if r.framing == "close" && r.fault == "cut" && len(r.body) < 2 {
		r.fault = "" // whether an empty body is chunked depends on what is earlier, its end or the flush
	}
	if r.framing == "none" && (r.fault == "cut" || r.fault == "reset" || r.fault == "excess") {
		r.fault = ""
	}
	return r
}

// responseFields returns fields of responses.
func responseFields(http2 bool) [][]field {
	fields := [][]field{
		{{"Content-Type", "application/json"}},
		{{"Content-Type", "text/event-stream"}},
		{{"Content-Type", ""}},
		{{"Content-Type", "text/plain"}, {"content-type", "text/html"}},
		{{"X-Repeat", "1"}, {"x-repeat", "2"}, {"X-REPEAT", "1"}},
		{{"Set-Cookie", "a=b"}, {"Set-Cookie", "c=d"}},
		{{"X-Empty", ""}},
		{{"X-Own", "api"}},
		{{"Via", "1.1 inner"}},
		{{"Via", "1.1 a, 1.1 b"}, {"via", "1.0 c"}},
		{{"Server", "BankID"}},
		{{"server", "a"}, {"Server", "b"}},
		{{"Date", "Mon, 01 Jan 2024 00:00:00 GMT"}},
		{{"Date", "none"}},
		{{"Proxy-Status", "inner; error=dns_timeout"}},
		{{"Alt-Svc", `h3=":443"`}},
		{{"Location", "/elsewhere"}},
		{{"WWW-Authenticate", "Basic"}},
		{{"Authorization", "x"}},
		{{"Cache-Control", "no-store"}},
		{{"ETag", `"a"`}},
		{{"Incremental", "?1"}},
		{{"Incremental", "?0"}},
		{{"Incremental", "x"}},
		{{"Content-Encoding", "gzip"}},
		{{"Retry-After", "5"}},
		{{"Link", "</a>; rel=preload"}, {"Link", "</b>"}},
		{{"X-Padded", " \t a \t "}},
		{{"X-High", "\xc3\xa9\xff"}},
		{{"Strict-Transport-Security", "max-age=1"}},
		{{"Age", "1"}},
		{{"X_under", "1"}},
		{{"Early-Data", "1"}},
		{{"Content-Disposition", "attachment"}},
		{{"Access-Control-Allow-Origin", "*"}},
		{{"Vary", "Origin"}, {"Vary", "Accept"}},
		{{"Connection-Info", "1"}},
	}
	if !http2 {
		fields = append(fields, [][]field{
			{{"Connection", "keep-alive"}, {"Keep-Alive", "timeout=5"}},
			{{"Connection", "X-Hop, X-Own"}, {"X-Hop", "1"}},
			{{"connection", "Via"}, {"Connection", "Server,Date"}},
			{{"Connection", "Incremental, ETag"}},
			{{"Proxy-Connection", "close"}},
			{{"Proxy-Authenticate", "Basic"}},
			{{"Proxy-Authorization", "Basic YTpi"}},
			{{"TE", "trailers"}},
			{{"Upgrade", "h2c"}},
			{{"Upgrade", "h2c"}, {"Connection", "Upgrade"}},
		}...)
	}
	return fields
}
