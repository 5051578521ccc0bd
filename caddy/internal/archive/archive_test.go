package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

const (
	keep = 10 * time.Minute
	all  = "bankid_esign"
)

// A gateway is a process with an archive.
type gateway struct {
	t       *testing.T
	archive *archive.Archive
	detach  func()
	losses  chan archive.Loss
}

// newGateway returns a gateway with the given sealing secrets.
func newGateway(t *testing.T, s archive.Storage, secrets ...string) *gateway {
	g := &gateway{t: t, archive: archive.New(), losses: make(chan archive.Loss, 100)}
	t.Cleanup(g.archive.Close)
	return g.attach(s, secrets...)
}

// attach changes the configuration of the gateway.
func (g *gateway) attach(s archive.Storage, secrets ...string) *gateway {
	var values [][]byte
	for _, secret := range secrets {
		values = append(values, []byte(secret))
	}
	detach := g.archive.Attach(archive.Settings{
		Storage: s, Keep: keep,
		Secrets: func() ([][]byte, error) { return values, nil },
		Lost:    func(l archive.Loss) { g.losses <- l },
	})
	if g.detach != nil {
		g.detach()
	}
	g.detach = detach
	return g
}

// kill ends the process.
func (g *gateway) kill() { g.archive.Close() }

var (
	key  = download.Key{1}
	meta = download.Meta{
		Status:  200,
		Header:  http.Header{"Content-Type": {"application/pdf"}, "X-Name": {"bl\xe5b\xe6r", "\x01"}},
		Trailer: http.Header{"X-Sum": {"1"}},
	}
)

// document returns a content of n bytes.
func document(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i / 1000)
	}
	return content
}

// begin begins a download.
func (g *gateway) begin(key download.Key) download.NewEntry {
	g.t.Helper()
	e, err := g.archive.For("signdoc", "order").Begin(g.t.Context(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	return e
}

// put stores a content.
func (g *gateway) put(e download.NewEntry, content []byte) {
	g.t.Helper()
	n := 0
	for piece := range slices.Chunk(content, download.PieceSize) {
		if err := e.Put(g.t.Context(), n, piece); err != nil {
			g.t.Fatal(err)
		}
		n++
	}
}

// keep stores a download.
func (g *gateway) keep(key download.Key, content []byte) {
	g.t.Helper()
	e := g.begin(key)
	g.put(e, content)
	g.commit(e, content)
}

// commit says that a download is whole.
func (g *gateway) commit(e download.NewEntry, content []byte) {
	g.t.Helper()
	whole := meta
	whole.Length = int64(len(content))
	if err := e.Commit(g.t.Context(), whole); err != nil {
		g.t.Fatal(err)
	}
}

// find returns the download at key, and how long that took.
func (g *gateway) find(key download.Key) (content []byte, waited time.Duration, err error) {
	start := time.Now()
	e, err := g.archive.For("signdoc", "order").Find(g.t.Context(), key, time.Second)
	waited = time.Since(start)
	if err != nil {
		return nil, waited, err
	}
	got := e.Meta()
	length := got.Length
	got.Length = 0
	if !reflect.DeepEqual(got, meta) {
		g.t.Errorf("the response is %+v", got)
	}
	for n := 0; int64(len(content)) < length; n++ {
		piece, err := e.Piece(g.t.Context(), n)
		if err != nil {
			return nil, waited, err
		}
		content = append(content, piece...)
	}
	return content, waited, nil
}

// has tests whether the gateway finds a content.
func (g *gateway) has(key download.Key, content []byte) {
	g.t.Helper()
	if got, _, err := g.find(key); err != nil || !bytes.Equal(got, content) {
		g.t.Errorf("it found %d bytes, %v", len(got), err)
	}
}

// hasNot tests whether the gateway finds nothing.
func (g *gateway) hasNot(key download.Key) {
	g.t.Helper()
	if got, _, err := g.find(key); !errors.Is(err, fs.ErrNotExist) {
		g.t.Errorf("it found %d bytes, %v", len(got), err)
	}
}

func TestAnotherProcessFindsTheDownload(t *testing.T) {
	for _, size := range []int{1, 1000, download.PieceSize - 1, download.PieceSize, download.PieceSize + 1, 3*download.PieceSize + 17} {
		synctest.Test(t, func(t *testing.T) {
			s := new(memory)
			a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
			a.hasNot(key)
			a.keep(key, document(size))
			a.kill()
			b.has(key, document(size))
			b.has(key, document(size))
			b.hasNot(download.Key{2})
			newGateway(t, s, "another secret").hasNot(key)
		})
	}
}

// The storage shows neither contents nor keys, and the same content never looks the same.
func TestNothingReadableIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		content := bytes.Repeat([]byte("very readable text. "), 100_000)
		g.keep(key, content)
		g.keep(download.Key{2}, content)
		g.begin(download.Key{3})
		synctest.Wait()
		seen := make(map[string]bool)
		for _, name := range s.keys(all) {
			value := string(s.values[name])
			for _, word := range []string{"readable", "signdoc", "order", "application/pdf", "secret", string(key[:])} {
				if strings.Contains(value, word) || strings.Contains(name, word) {
					t.Errorf("%s shows %q", name, word)
				}
			}
			if seen[value] {
				t.Errorf("%s has been stored before", name)
			}
			seen[value] = true
		}
	})
}

// A value that was changed, cut, swapped or repeated is not handed over.
func TestChangedStorageIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		content := document(3*download.PieceSize + 17)
		g.keep(key, content)
		names := s.keys(all)
		g.keep(download.Key{2}, content)
		other := slices.DeleteFunc(s.keys(all), func(name string) bool { return slices.Contains(names, name) })
		synctest.Wait()
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".mark") })
		other = slices.DeleteFunc(other, func(name string) bool { return strings.HasSuffix(name, ".mark") })
		if len(names) != 5 || len(other) != 5 {
			t.Fatalf("the keys are %q, and of the other download %q", names, other)
		}
		refused := func(what, name string, value []byte) {
			t.Helper()
			before := s.values[name]
			s.values[name] = value
			if value == nil {
				delete(s.values, name)
			}
			if got, _, err := g.find(key); err == nil {
				t.Errorf("%s of %s: it found %d bytes", what, name, len(got))
			}
			s.values[name] = before
			synctest.Wait()
		}
		for i, name := range names {
			value := s.values[name]
			for _, at := range []int{0, 10, 20, 29, len(value) - 1} {
				changed := slices.Clone(value)
				changed[at] ^= 1
				refused(fmt.Sprintf("byte %d", at), name, changed)
			}
			refused("cutting", name, value[:len(value)-1])
			refused("emptying", name, []byte{})
			refused("lengthening", name, append(slices.Clone(value), 0))
			refused("deleting", name, nil)
			refused("the value of the other download", name, s.values[other[i]])
			refused("the value of another key", name, s.values[names[(i+1)%len(names)]])
		}
		g.has(key, content)
	})
}

func TestFormerSecretsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "first")
		g.keep(key, document(10))
		g.attach(s, "second")
		g.has(key, document(10))
		g.keep(download.Key{2}, document(20))
		newGateway(t, s, "second").has(download.Key{2}, document(20))
		newGateway(t, s, "second").hasNot(key) // it never had the first
		newGateway(t, s, "second", "first").has(key, document(10))
		newGateway(t, s, "third", "second", "first").has(key, document(10))
		newGateway(t, s, "third").hasNot(download.Key{2})
		g.attach(s, "third")
		g.has(key, document(10))
	})
}

// A secret that is replaced before a download came goes on opening what others have sealed with
// it.
func TestFormerSecretsOpenWithoutADownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		newGateway(t, s, "first").keep(key, document(10))
		g := newGateway(t, s, "first")
		synctest.Wait()
		g.attach(s, "second").has(key, document(10))
	})
}

// If nothing is stored any more, what was stored before is found and deleted in time, also what
// another process has stored. Then the archive knows that there is nothing to be found.
func TestWhatWasStoredBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		other, g := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		time.Sleep(time.Second) // the first sweep sees nothing
		other.keep(key, document(10))
		g.archive.Attach(archive.Settings{
			Storage: s, Keep: keep, Lost: func(archive.Loss) {},
			Secrets: func() ([][]byte, error) { return nil, nil },
		})
		g.detach()
		if !g.archive.MayHaveDownloads() {
			t.Error("it does not know the download")
		}
		g.has(key, document(10))
		g.hasNot(download.Key{2})
		time.Sleep(keep)
		synctest.Wait()
		if keys := s.keys(all); len(keys) > 0 {
			t.Errorf("the storage still has %q", keys)
		}
		if g.archive.MayHaveDownloads() {
			t.Error("it still knows the download")
		}
	})
}

// If the secrets cannot be read for a moment, those from before are used.
func TestSecretsThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errUnreadable := errors.New("no such file")
		var readable atomic.Bool
		g := &gateway{t: t, archive: archive.New()}
		t.Cleanup(g.archive.Close)
		g.archive.Attach(archive.Settings{
			Storage: new(memory), Keep: keep, Lost: func(archive.Loss) {},
			Secrets: func() ([][]byte, error) {
				if !readable.Load() {
					return nil, errUnreadable
				}
				return [][]byte{[]byte("secret")}, nil
			},
		})
		if _, _, err := g.find(key); !errors.Is(err, errUnreadable) {
			t.Errorf("without a secret, the error is %v", err)
		}
		readable.Store(true)
		g.keep(key, document(10))
		readable.Store(false)
		g.has(key, document(10))
	})
}

func TestFindWaitsForAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		content := document(2 * download.PieceSize)
		e := a.begin(key)
		done := make(chan time.Duration)
		go func() {
			got, waited, err := b.find(key)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("it found %d bytes, %v", len(got), err)
			}
			done <- waited
		}()
		time.Sleep(time.Hour) // much longer than a mark may stay unchanged
		a.put(e, content)
		a.commit(e, content)
		if waited := <-done; waited > time.Hour+time.Second {
			t.Errorf("it waited %v", waited)
		}
		if len(b.losses) > 0 {
			t.Errorf("it took the download for lost: %v", <-b.losses)
		}
	})
}

func TestFindWaitsAsLongAsItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		newGateway(t, s, "secret").begin(key)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := newGateway(t, s, "secret").archive.For().Find(ctx, key, time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestFindEndsWhenTheOtherProcessGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		e := a.begin(key)
		a.put(e, document(3*download.PieceSize))
		time.AfterFunc(time.Minute, e.Abandon)
		_, waited, err := b.find(key)
		if !errors.Is(err, fs.ErrNotExist) || waited > time.Minute+time.Second {
			t.Errorf("after %v, the error is %v", waited, err)
		}
		synctest.Wait()
		if keys := s.keys(all); len(keys) > 0 {
			t.Errorf("the storage still has %q", keys)
		}
		if len(b.losses) > 0 {
			t.Error("it took the download for lost")
		}
	})
}

// A process is gone in the middle of a download. Another one takes the download for lost
// once, and deletes what is left.
func TestDeadProcessIsNoticed(t *testing.T) {
	for name, notice := range map[string]func(b *gateway){
		"by a call": func(b *gateway) {
			_, waited, err := b.find(key)
			if !errors.Is(err, fs.ErrNotExist) || waited < 10*time.Second || waited > 12*time.Second {
				b.t.Errorf("after %v, the error is %v", waited, err)
			}
		},
		"by a sweep": func(*gateway) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				begun := time.Now()
				a := newGateway(t, s, "secret")
				e := a.begin(key)
				a.put(e, document(3*download.PieceSize))
				a.kill()
				b := newGateway(t, s, "secret")
				notice(b)
				loss := <-b.losses
				if !slices.Equal(loss.Label, []string{"signdoc", "order"}) || !loss.Begun.Equal(begun) {
					t.Errorf("lost is %v", loss)
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if keys := s.keys(all); len(keys) > 0 || len(b.losses) > 0 {
					t.Errorf("the storage still has %q; %d more are lost", keys, len(b.losses))
				}
				b.keep(key, document(10))
				b.has(key, document(10))
			})
		})
	}
}

// A download is deleted when its time is over, by the process that wrote it, by another
// one, or by one without the secret.
func TestDownloadsAreDeletedInTime(t *testing.T) {
	for name, test := range map[string]struct {
		stays, unable bool
		other         string // secret of another process
	}{
		"by its process":                  {stays: true},
		"by its process, without List":    {stays: true, unable: true},
		"by another process":              {other: "secret"},
		"by a process without the secret": {other: "another"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &memory{unable: test.unable}
				foreign := []string{"certificates/a", "bankid_esign/other", "bankid_esign/downloads/v2/x.mark"}
				for _, name := range foreign {
					_ = s.Store(t.Context(), name, []byte("x"))
				}
				a := newGateway(t, s, "secret")
				a.keep(key, document(3*download.PieceSize))
				synctest.Wait()
				if !test.stays {
					a.kill()
					newGateway(t, s, test.other)
				}
				time.Sleep(keep / 2)
				newGateway(t, s, "secret").has(key, document(3*download.PieceSize))
				time.Sleep(keep/2 + time.Second)
				synctest.Wait()
				if keys := s.keys(all + "/downloads/v1"); len(keys) > 0 {
					t.Errorf("the storage still has %q", keys)
				}
				if len(s.values) != len(foreign) {
					t.Errorf("the storage has only %q of others", s.keys("certificates"))
				}
			})
		})
	}
}

// What belongs to nothing is deleted, but not what may belong to something soon.
func TestLeftoversAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { leftoversAreDeleted(t, new(memory)) })
	synctest.Test(t, func(t *testing.T) { leftoversAreDeleted(t, &memory{listed: "folder/"}) })
	synctest.Test(t, func(t *testing.T) { leftoversAreDeleted(t, &memory{flat: true}) })
}

// Caddy's file storage cannot list while files come and go, so the sweep tries again.
func TestStorageThatSometimesCannotList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, lists := new(memory), 0
		s.do(func(_ context.Context, operation, _ string) error {
			if operation != "list" {
				return nil
			}
			if lists++; lists%4 != 0 {
				return fs.ErrNotExist
			}
			return nil
		})
		leftoversAreDeleted(t, s)
	})
}

// A bucket with many objects takes long to list. One that does not respond is not asked again
// at once.
func TestStorageThatListsSlowly(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		most  int // lists in three and a half minutes
		works bool
	}{
		"slow":  {20 * time.Second, 4, true},
		"never": {time.Hour, 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, lists := new(memory), 0
				s.do(func(ctx context.Context, operation, _ string) error {
					if operation != "list" {
						return nil
					}
					lists++
					select {
					case <-time.After(test.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				_ = s.Store(t.Context(), all+"/downloads/v1/probe.x", []byte("x"))
				g := newGateway(t, s, "secret")
				time.Sleep(3*time.Minute + 30*time.Second)
				g.kill()
				synctest.Wait()
				if deleted := len(s.keys(all)) == 0; deleted != test.works || lists > test.most {
					t.Errorf("the storage was listed %d times, and the leftover is deleted: %t", lists, deleted)
				}
			})
		})
	}
}

// leftoversAreDeleted checks one storage.
func leftoversAreDeleted(t *testing.T, s *memory) {
	for _, name := range []string{"/probe.x", "/0123.manifest", "/0123.abcd/1", "/4567.manifest123"} {
		_ = s.Store(t.Context(), all+"/downloads/v1"+name, []byte("x"))
	}
	newGateway(t, s, "secret")
	time.Sleep(30 * time.Second)
	if keys := s.keys(all); len(keys) != 4 {
		t.Errorf("after half a minute, the storage has only %q", keys)
	}
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	if keys := s.keys(all); len(keys) > 0 {
		t.Errorf("the storage still has %q", keys)
	}
}

// A storage takes the mark of a download, and then refuses to be changed. So the mark stays, but
// its process knows that it has ended, and others report the loss once.
func TestMarkThatCannotBeDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		e := a.begin(key)
		a.put(e, document(10))
		s.do(func(_ context.Context, operation, _ string) error {
			if operation == "store" || operation == "delete" {
				return errGone
			}
			return nil
		})
		e.Abandon()
		time.Sleep(15 * time.Minute)
		if _, waited, err := a.find(key); !errors.Is(err, fs.ErrNotExist) || waited > 0 {
			t.Errorf("its process waits %v for itself: %v", waited, err)
		}
		if len(a.losses) != 0 || len(b.losses) != 1 {
			t.Errorf("its process has reported %d losses, and the other one %d", len(a.losses), len(b.losses))
		}
		b.kill()
		s.do(nil)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if keys := s.keys(all); len(keys) > 0 {
			t.Errorf("the storage still has %q", keys)
		}
		if len(a.losses) != 0 {
			t.Errorf("its process has reported %d losses", len(a.losses))
		}
	})
}

// A delayed storage says that it has not stored manifests. If late is set, it stores them later.
type delayed struct {
	*memory
	late bool
}

func (f delayed) Store(ctx context.Context, key string, value []byte) error {
	if !strings.HasSuffix(key, ".manifest") {
		return f.memory.Store(ctx, key, value)
	}
	if f.late {
		time.AfterFunc(5*time.Second, func() { _ = f.memory.Store(context.WithoutCancel(ctx), key, value) })
	}
	return errGone
}

// A storage may have the manifest although it says that it has failed: a response can be lost, or
// come too late. If it has, other processes find the download. If not, the pieces go.
func TestManifestThatMayHaveBeenStored(t *testing.T) {
	for _, test := range []struct{ stored, unable bool }{{true, false}, {true, true}, {false, false}, {false, true}} {
		synctest.Test(t, func(t *testing.T) {
			s, content := &memory{unable: test.unable}, document(2*download.PieceSize)
			a, b := newGateway(t, delayed{s, test.stored}, "secret"), newGateway(t, s, "secret")
			e := a.begin(key)
			a.put(e, content)
			whole := meta
			whole.Length = int64(len(content))
			if err := e.Commit(t.Context(), whole); !errors.Is(err, errGone) {
				t.Errorf("the error is %v", err)
			}
			e.Abandon()
			time.Sleep(10 * time.Second)
			if test.stored {
				b.has(key, content)
				time.Sleep(keep / 2)
				b.has(key, content)
			} else {
				b.hasNot(key)
			}
			time.Sleep(keep)
			synctest.Wait()
			if keys := s.keys(all); len(keys) > 0 {
				t.Errorf("the storage still has %q", keys)
			}
		})
	}
}

// A process that was suspended for long does not commit: others may have deleted pieces.
func TestSuspendedProcessDoesNotCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a := newGateway(t, s, "secret")
		e := a.begin(key)
		a.put(e, document(10))
		s.do(func(_ context.Context, operation, key string) error {
			if operation == "store" && strings.HasSuffix(key, ".mark") {
				return errors.New("suspended")
			}
			return nil
		})
		time.Sleep(time.Minute)
		if err := e.Commit(t.Context(), download.Meta{Status: 200, Length: 10}); err == nil {
			t.Error("it says that the download is stored")
		}
		e.Abandon()
		a.hasNot(key)
	})
}

// A piece can be read back before the download is whole, and after that.
func TestPieceOfADownloadUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, new(memory), "secret")
		content := document(download.PieceSize + 17)
		e := g.begin(key)
		g.put(e, content)
		for _, when := range []string{"under way", "whole"} {
			for n, want := range slices.Collect(slices.Chunk(content, download.PieceSize)) {
				if got, err := e.Piece(t.Context(), n); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: piece %d has %d bytes, %v", when, n, len(got), err)
				}
			}
			if when == "under way" {
				g.commit(e, content)
			}
		}
		if _, err := e.Piece(t.Context(), 2); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("piece 2: %v", err)
		}
	})
}
