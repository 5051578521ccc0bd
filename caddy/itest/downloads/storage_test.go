package downloads

import (
	"context"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/caddy/itest/internal/postgresql"
)

// A storage is what gateways share.
type storage interface {
	// option is the global option for it.
	option() string
	// mode says where downloads are kept.
	mode() string
	// dump returns all that it has, names too.
	dump() string
	// count returns the number of its keys of downloads with a suffix.
	count(suffix string) int
}

// files is a directory as a storage.
type files struct {
	t   *testing.T
	dir string
}

func newFiles(t *testing.T) storage { return &files{t, t.TempDir()} }

func (s *files) mode() string { return "storage" }

func (s *files) option() string { return "storage file_system " + s.dir }

func (s *files) count(suffix string) int {
	names, err := filepath.Glob(s.dir + "/bankid_esign/downloads/v1/*" + suffix)
	if err != nil {
		s.t.Error(err)
	}
	return len(names)
}

func (s *files) dump() string {
	var all strings.Builder
	err := filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		all.WriteString(name + "\n")
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		all.Write(content)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return all.String()
}

// redis is a Redis server.
type redis struct {
	t    *testing.T
	dir  string
	port string
}

func newRedis(t *testing.T) storage {
	t.Helper()
	r := &redis{t: t, dir: t.TempDir(), port: ports.Free(t, "127.0.0.1")}
	server := exec.CommandContext(context.Background(), "redis-server", "--bind", "127.0.0.1", "--port", r.port,
		"--dir", r.dir, "--appendonly", "yes", "--save", "")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // the error says that it was killed
	})
	eventually(t, "Redis", func() bool { return r.cli("ping") == "PONG\n" })
	return r
}

func (r *redis) mode() string { return "storage" }

func (r *redis) option() string { return "storage redis {\nhost 127.0.0.1\nport " + r.port + "\n}" }

func (r *redis) cli(args ...string) string {
	out, _ := exec.CommandContext(context.Background(), "redis-cli", append([]string{"-p", r.port}, args...)...).Output()
	return string(out)
}

func (r *redis) count(suffix string) int {
	return strings.Count(r.cli("--scan", "--pattern", "*downloads/v1/*"+suffix), suffix)
}

// dump returns the append-only file: all that was ever stored. Values are in base64.
func (r *redis) dump() string {
	var all strings.Builder
	err := filepath.WalkDir(r.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		all.Write(content)
		return err
	})
	if err != nil {
		r.t.Error(err)
	}
	return all.String()
}

// memory is the memory of a gateway. Its files are not used for downloads.
type memory struct{ *files }

func newMemory(t *testing.T) storage { return memory{newFiles(t).(*files)} }

func (memory) mode() string { return "memory" }

// s3 is a server of S3.
type s3 struct {
	t       *testing.T
	backend *s3mem.Backend
	url     string
}

// bucket has the gateways' objects.
const bucket = "downloads"

func newS3(t *testing.T) storage {
	t.Helper()
	s := &s3{t: t, backend: s3mem.New()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(s.backend).Server())
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *s3) mode() string { return "storage" }

func (s *s3) option() string {
	return "storage s3 {\nendpoint " + s.url + "\nbucket " + bucket + "\naccess_key fleet\nsecret_key fleet\n}"
}

func (s *s3) count(suffix string) int {
	n := 0
	for _, object := range s.objects() {
		if strings.Contains(object.Key, "downloads/v1/") && strings.HasSuffix(object.Key, suffix) {
			n++
		}
	}
	return n
}

func (s *s3) dump() string {
	var all strings.Builder
	for _, listed := range s.objects() {
		all.WriteString(listed.Key + "\n")
		object, err := s.backend.GetObject(bucket, listed.Key, nil)
		if err != nil {
			s.t.Error(err)
			continue
		}
		content, err := io.ReadAll(object.Contents)
		if err != nil {
			s.t.Error(err)
		}
		all.Write(content)
	}
	return all.String()
}

// objects lists the bucket.
func (s *s3) objects() []*gofakes3.Content {
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	return list.Contents
}

// postgres is a server of PostgreSQL.
type postgres struct{ *postgresql.Server }

func newPostgres(t *testing.T) storage {
	t.Helper()
	return postgres{postgresql.New(t, "127.0.0.1", ports.Free(t, "127.0.0.1"))}
}

func (postgres) mode() string { return "storage" }

func (p postgres) option() string { return p.Option() }

func (p postgres) count(suffix string) int {
	n := 0
	for key := range p.Entries() {
		if strings.Contains(key, "downloads/v1/") && strings.HasSuffix(key, suffix) {
			n++
		}
	}
	return n
}

func (p postgres) dump() string {
	var all strings.Builder
	for key, value := range p.Entries() {
		all.WriteString(key + "\n")
		all.Write(value)
	}
	return all.String()
}
