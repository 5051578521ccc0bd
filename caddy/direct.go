package caddyesign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// direct is the short way to an API's host: the reverse proxy of net/http/httputil, which
// costs about two thirds of Caddy's. It is taken if nothing of Caddy's reverse_proxy is
// configured. Nobody can tell by a response which way it took: where the two proxies
// differ, direct does what Caddy's does.
type direct struct {
	transport *Transport
	proxy     httputil.ReverseProxy
	downloads httputil.ReverseProxy // proxy for downloads that go on without their caller
	logger    *zap.Logger           // that of Caddy's proxy
}

// newDirect returns the short way through t.
func newDirect(t *Transport, logger *zap.Logger) *direct {
	d := &direct{transport: t, logger: logger}
	d.proxy = httputil.ReverseProxy{
		Rewrite: d.rewrite, Transport: d, ErrorHandler: keepError,
		BufferPool: buffers{}, ErrorLog: log.New(io.Discard, "", 0), // each of its errors is handled here
	}
	d.downloads = d.proxy
	d.downloads.BufferPool = largeBuffers{}
	return d
}

// A transfer is what the short way knows of one call.
type transfer struct {
	http.ResponseWriter // the caller's

	request  *http.Request // as it leaves the proxy
	duration time.Duration // until the header of the response came
	body     io.ReadCloser // of the response
	err      error         // why there is no response
	broken   error         // why the response broke off
	mu       sync.Mutex    // held while an interim response is written
	over     bool          // no interim response may be written any more
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (d *direct) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	x := d.transport.exchange(r)
	t := &transfer{ResponseWriter: w}
	x.transfer, x.Interim = t, t.interim
	defer func() {
		cause := recover()
		switch {
		case t.broken != nil:
			d.abort(t, r)
		case cause != nil:
			panic(cause)
		}
	}()
	proxy := &d.proxy
	if x.download != nil {
		proxy = &d.downloads
	}
	proxy.ServeHTTP(t, r)
	return proxyError(w, t.err)
}

// proxyError returns the error for a call without a response because of err, with the
// status that Caddy's proxy gives it.
func proxyError(w http.ResponseWriter, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		w.WriteHeader(statusClientClosedRequest) // for the access log
		return nil
	}
	status := http.StatusBadGateway
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as Caddy's does
		status = http.StatusGatewayTimeout
	}
	if strings.Contains(err.Error(), "operation was canceled") { // net has no type for it
		status = statusClientClosedRequest
	}
	return caddyhttp.Error(status, err)
}

// abort ends a response that broke off, so that the caller sees the part that came.
func (d *direct) abort(t *transfer, r *http.Request) {
	level := zapcore.WarnLevel
	if r.ProtoMajor == 3 && r.Context().Err() != nil {
		level = zapcore.DebugLevel // the caller has left
	}
	if c := d.logger.Check(level, "aborting with incomplete response"); c != nil {
		c.Write(append(d.fields(t), zap.Error(t.broken))...)
	}
	_ = http.NewResponseController(t.ResponseWriter).Flush() //nolint:bodyclose // there is none
	panic(http.ErrAbortHandler)
}

// fields returns what Caddy's proxy logs about a call.
func (d *direct) fields(t *transfer) []zap.Field {
	return []zap.Field{
		zap.String("upstream", dialAddress(d.transport.core.Origin)),
		zap.Duration("duration", t.duration),
		zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: t.request, ShouldLogCredentials: logsCredentials(t.request)}),
	}
}

// logsCredentials reports whether the server of r is configured to log credentials.
func logsCredentials(r *http.Request) bool {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return server != nil && server.Logs != nil && server.Logs.ShouldLogCredentials
}

// logRoundTrip logs a call at level debug, as Caddy's proxy does.
func (d *direct) logRoundTrip(t *transfer, res *http.Response, err error) {
	c := d.logger.Check(zapcore.DebugLevel, "upstream roundtrip")
	switch {
	case c == nil:
	case err != nil:
		c.Write(append(d.fields(t), zap.Error(err))...)
	default:
		c.Write(append(d.fields(t),
			zap.Object("headers", caddyhttp.LoggableHTTPHeader{Header: res.Header, ShouldLogCredentials: logsCredentials(t.request)}),
			zap.Int("status", res.StatusCode))...)
	}
}

// rewrite directs a call to its API's host.
func (d *direct) rewrite(r *httputil.ProxyRequest) {
	origin := d.transport.core.Origin
	r.Out.URL.Scheme, r.Out.URL.Host = origin.Scheme, origin.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it came, even if it cannot be parsed
	if r.In.TLS != nil && !r.In.TLS.HandshakeComplete {
		r.Out.Header["Early-Data"] = []string{"1"} // RFC 8470 section 5.2
	}
}

// RoundTrip implements http.RoundTripper.
func (d *direct) RoundTrip(req *http.Request) (*http.Response, error) {
	x := d.transport.exchange(req)
	t := x.transfer
	t.request = req
	start := time.Now()
	res, err := d.transport.roundTrip(req, x)
	t.duration = time.Since(start)
	t.end()
	d.logRoundTrip(t, res, err)
	if err != nil {
		return nil, err
	}
	t.body, res.Body = res.Body, t
	delete(res.Header, "Alt-Svc") // it is about the API's host
	if caddyhttp.IsIncremental(res.Header) {
		res.ContentLength = -1 // so that each part is passed on at once (RFC 10036)
	}
	header := t.Header()
	delete(header, "Server") // the API's own is passed on
	header["Via"] = append(header["Via"], via(res))
	return res, nil
}

// via returns the value of Via for a response (RFC 9110 section 7.6.3).
func via(res *http.Response) string {
	if res.ProtoMajor == 1 && res.ProtoMinor == 1 {
		return "1.1 Caddy" // without an allocation
	}
	return strconv.Itoa(res.ProtoMajor) + "." + strconv.Itoa(res.ProtoMinor) + " Caddy"
}

// keepError keeps the error of a call without a response, for ServeHTTP to return.
func keepError(w http.ResponseWriter, _ *http.Request, err error) { w.(*transfer).err = err }

// end says that no interim response may be written any more.
func (t *transfer) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

// interim passes an interim response on. The header of the final response stays as it is.
func (t *transfer) interim(code int, header textproto.MIMEHeader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	own := t.Header()
	kept := own.Clone()
	removeHopByHop(http.Header(header))
	for name, values := range header {
		own[name] = append(own[name], values...)
	}
	t.WriteHeader(code)
	clear(own)
	maps.Copy(own, kept)
	return nil
}

// Read implements io.Reader, for the body of the response.
func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if err != nil && err != io.EOF {
		t.broken = fmt.Errorf("reading: %w", err)
	}
	return n, err
}

// Write implements http.ResponseWriter.
func (t *transfer) Write(p []byte) (int, error) {
	n, err := t.ResponseWriter.Write(p)
	if err != nil {
		t.broken = fmt.Errorf("writing: %w", err)
	}
	return n, err
}

// Close implements io.Closer, for the body of the response.
func (t *transfer) Close() error { return t.body.Close() }

// Unwrap implements what http.ResponseController looks for.
func (t *transfer) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// removeHopByHop removes the fields of header that are for one connection (RFC 9110
// section 7.6.1).
func removeHopByHop(header http.Header) {
	for _, field := range header["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Alt-Svc", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		delete(header, name)
	}
}

// bufferPool has the buffers that responses are copied through.
var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// bufferSize is the size of a buffer, in bytes. It is that of Caddy's.
const bufferSize = 32 << 10

// buffers is bufferPool as an httputil.BufferPool.
type buffers struct{}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return bufferPool.Get().(*[bufferSize]byte)[:] }

// Put implements httputil.BufferPool.
func (buffers) Put(buffer []byte) { bufferPool.Put((*[bufferSize]byte)(buffer)) }

// largeBufferPool has the buffers that downloads are copied through. A download is large
// and comes fast, so that they save system calls.
var largeBufferPool = sync.Pool{New: func() any { return new([largeBufferSize]byte) }}

// largeBufferSize is the size of a buffer for downloads, in bytes.
const largeBufferSize = 128 << 10

// largeBuffers is largeBufferPool as an httputil.BufferPool.
type largeBuffers struct{}

// Get implements httputil.BufferPool.
func (largeBuffers) Get() []byte { return largeBufferPool.Get().(*[largeBufferSize]byte)[:] }

// Put implements httputil.BufferPool.
func (largeBuffers) Put(buffer []byte) { largeBufferPool.Put((*[largeBufferSize]byte)(buffer)) }

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = (*direct)(nil)
	_ http.RoundTripper           = (*direct)(nil)
	_ httputil.BufferPool         = buffers{}
	_ httputil.BufferPool         = largeBuffers{}
)
