package fleet

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// An s3 is a server of S3.
type s3 struct {
	t       *testing.T
	address string
	backend *s3mem.Backend
	server  *http.Server
}

// bucket is where the gateways keep their objects.
const bucket = "fleet"

// newS3 starts a server for a fleet.
func newS3(f *fleet) *s3 {
	f.t.Helper()
	s := &s3{t: f.t, address: net.JoinHostPort(f.host(), ports.Free(f.t, f.host())), backend: s3mem.New()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		f.t.Fatal(err)
	}
	s.start()
	f.t.Cleanup(s.stop)
	return s
}

// option is the global option for it.
func (s *s3) option() string {
	return "storage s3 {\nendpoint http://" + s.address + "\nbucket " + bucket + "\naccess_key fleet\nsecret_key fleet\n}"
}

// start starts the server with its earlier entries.
func (s *s3) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = &http.Server{Handler: gofakes3.New(s.backend).Server(), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(listener) }() // the error says that it was closed
}

// stop ends the server.
func (s *s3) stop() {
	s.t.Helper()
	if err := s.server.Close(); err != nil {
		s.t.Error(err)
	}
}

// empty deletes all entries.
func (s *s3) empty() {
	s.t.Helper()
	if err := s.backend.ForceDeleteBucket(bucket); err != nil {
		s.t.Fatal(err)
	}
	if err := s.backend.CreateBucket(bucket); err != nil {
		s.t.Fatal(err)
	}
}
