package itest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// These are the places of faults in the middle of a document.
const middle = 10 << 20

// upload is a call with the document.
func upload(length int64) call {
	return call{method: http.MethodPost, path: "/v1/signdoc/pades", body: document(), length: length}
}

// downloads are calls for the document: a call that changes nothing, and a call that cannot
// be retried, each with and without a length.
func downloads() []call {
	return []call{
		{method: http.MethodGet, path: "/v1/signdoc/pades?document&length"},
		{method: http.MethodGet, path: "/v1/signdoc/pades?document"},
		{method: http.MethodDelete, path: "/v1/signdoc/pades?document&length"},
		{method: http.MethodDelete, path: "/v1/signdoc/pades?document"},
	}
}

// These faults only delay one direction.
func delays(stream string) []toxic {
	return []toxic{
		{"latency", stream, `"latency":20,"jitter":15`},
		{"bandwidth", stream, `"rate":60000`},
		{"slicer", stream, `"average_size":8192,"size_variation":4000,"delay":10`},
		{"slow_close", stream, `"delay":100`},
	}
}

func TestToxicUploadIsWhole(t *testing.T) {
	n := newToxicNet(t)
	n.start(t, "", "")
	for _, fault := range append(delays("upstream"), delays("downstream")...) {
		for name, length := range map[string]int64{"length": documentSize, "chunked": -1} {
			t.Run(fault.String()+" "+name, func(t *testing.T) {
				n.apiWay.add(t, fault)
				defer n.apiWay.heal(t)
				out, target := n.make(t, upload(length))
				wantDone(t, out)
				n.wantOnce(t, target)
				if seen := n.api.seen(target); len(seen) != 1 || !seen[0].complete || seen[0].sum != documentSum() {
					t.Errorf("the API saw %d uploads, and the document of the first is wrong", len(seen))
				}
			})
		}
	}
}

func TestToxicDownloadIsWhole(t *testing.T) {
	n := newToxicNet(t)
	n.start(t, "", "")
	for _, fault := range append(delays("downstream"), delays("upstream")...) {
		for _, c := range downloads() {
			t.Run(fault.String()+" "+c.method+" "+c.path, func(t *testing.T) {
				n.apiWay.add(t, fault)
				defer n.apiWay.heal(t)
				out, target := n.make(t, c)
				if out.status != http.StatusOK || out.broken != nil || out.sum != documentSum() {
					t.Errorf("status %d, %d bytes, %v, want the document", out.status, out.size, out.broken)
				}
				if seen := len(n.api.seen(target)); seen != 1 {
					t.Errorf("the API saw %d calls, want 1", seen)
				}
			})
		}
	}
}

// A cut is a fault that ends a transfer in its middle.
type cut struct {
	toxic
	later bool // it comes in the middle, not at the beginning
	off   bool // the other side vanishes, without a toxic
}

// cuts are faults in the direction of the document.
func cuts(stream string) map[string]cut {
	return map[string]cut{
		"limit_data": {toxic: toxic{"limit_data", stream, fmt.Sprintf(`"bytes":%d`, middle)}},
		"reset_peer": {toxic: toxic{"reset_peer", stream, `"timeout":0`}, later: true},
		"timeout":    {toxic: toxic{"timeout", stream, `"timeout":100`}, later: true},
		"off":        {later: true, off: true},
	}
}

// strike begins a cut.
func (n *toxicNet) strike(t *testing.T, c cut) {
	if c.off {
		n.apiWay.Stop()
		return
	}
	n.apiWay.add(t, c.toxic)
}

// mend ends a cut.
func (n *toxicNet) mend(t *testing.T) {
	t.Helper()
	n.apiWay.heal(t)
	if !n.apiWay.Enabled {
		if err := n.apiWay.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestToxicUploadThatIsCut(t *testing.T) {
	n := newToxicNet(t)
	n.start(t, "", "")
	for name, c := range cuts("upstream") {
		for name2, length := range map[string]int64{"length": documentSize, "chunked": -1} {
			t.Run(name+" "+name2, func(t *testing.T) {
				n.wantHealed(t)
				up := upload(length)
				if c.later {
					// The caller sends the rest of the document when the fault has
					// begun, and the fault begins when most of the first part has
					// arrived.
					arrived, struck := make(chan struct{}), make(chan struct{})
					n.api.hooks(func(read int64) {
						if read >= middle-1<<20 && arrived != nil {
							close(arrived)
							arrived = nil
						}
					}, nil)
					defer n.api.hooks(nil, nil)
					began := arrived
					go func() {
						defer close(struck)
						<-began
						n.strike(t, c)
					}()
					body := document()
					up.body = io.MultiReader(io.LimitReader(body, middle), waitFor(struck), body)
				} else {
					n.strike(t, c)
				}
				out, target := n.make(t, up)
				wantError(t, out, http.StatusBadGateway, "connection_terminated")
				n.mend(t)
				n.wantHealed(t)
				n.wantOnce(t, target)
				if seen := n.api.seen(target); len(seen) != 1 || seen[0].complete || seen[0].read >= documentSize {
					t.Errorf("the API saw %d uploads, want one incomplete upload", len(seen))
				}
			})
		}
	}
}

func TestToxicDownloadThatIsCut(t *testing.T) {
	n := newToxicNet(t)
	n.start(t, "", "")
	for name, c := range cuts("downstream") {
		for _, down := range downloads() {
			t.Run(name+" "+down.method+" "+down.path, func(t *testing.T) {
				n.wantHealed(t)
				if c.later {
					// The API waits until the caller has most of the first part, whose
					// end may be in a buffer, and until the fault has begun.
					struck := make(chan struct{})
					n.api.hooks(nil, func(written int64) {
						if written == middle {
							<-struck
						}
					})
					defer n.api.hooks(nil, nil)
					var once sync.Once
					down.progress = func(read int64) {
						if read >= middle-1<<20 {
							once.Do(func() {
								n.strike(t, c)
								close(struck)
							})
						}
					}
				} else {
					n.strike(t, c)
				}
				out, target := n.make(t, down)
				if out.status != http.StatusOK || out.broken == nil {
					t.Errorf("status %d, %d bytes, %v, want a transfer that breaks", out.status, out.size, out.broken)
				}
				if errors.Is(out.broken, io.EOF) || out.size >= documentSize {
					t.Errorf("%d bytes, %v: it looks complete", out.size, out.broken)
				}
				n.mend(t)
				n.wantHealed(t)
				if seen := len(n.api.seen(target)); seen != 1 {
					t.Errorf("the API saw %d calls, want 1: what was begun cannot be begun again", seen)
				}
			})
		}
	}
}

// waitFor is an empty reader, which ends when done is closed.
func waitFor(done <-chan struct{}) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		<-done
		return 0, io.EOF
	})
}

// readerFunc is a function as an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestToxicDocumentsAreNotHeld sends and receives documents in parallel over a slow network,
// and checks how much memory is in use meanwhile.
func TestToxicDocumentsAreNotHeld(t *testing.T) {
	const parallel, limit = 8, 64 << 20 // of 240 MiB
	n := newToxicNet(t)
	n.start(t, "", "")
	n.wantHealed(t)
	documentSum()
	slow := toxic{"slicer", "", `"average_size":16384,"size_variation":8000,"delay":10`}
	for name, c := range map[string]call{
		"upload":   {method: http.MethodPost, path: "/v1/signdoc/pades"},
		"download": {method: http.MethodGet, path: "/v1/signdoc/pades?document&length"},
	} {
		t.Run(name, func(t *testing.T) {
			slow.stream = map[string]string{"upload": "upstream", "download": "downstream"}[name]
			n.apiWay.add(t, slow)
			defer n.apiWay.heal(t)
			before := inUse()
			var most atomic.Int64
			measure := func(passed int64) {
				if passed%(10<<20) < 64<<10 { // three times a document
					if used := inUse() - before; used > most.Load() {
						most.Store(used)
					}
				}
			}
			if name == "upload" {
				n.api.hooks(measure, nil)
				defer n.api.hooks(nil, nil)
			}
			var wg sync.WaitGroup
			for range parallel {
				wg.Go(func() {
					c := c
					if name == "upload" {
						c.body, c.length = document(), documentSize
					} else {
						c.progress = measure
					}
					out, target := n.make(t, c)
					if name == "upload" {
						wantDone(t, out)
						if seen := n.api.seen(target); len(seen) != 1 || seen[0].sum != documentSum() {
							t.Errorf("the API saw %d uploads, and the document of the first is wrong", len(seen))
						}
					} else if out.sum != documentSum() || out.broken != nil {
						t.Errorf("status %d, %d bytes, %v, want the document", out.status, out.size, out.broken)
					}
				})
			}
			wg.Wait()
			t.Logf("%d documents of %d MiB: at most %d MiB in use", parallel, documentSize>>20, most.Load()>>20)
			if most.Load() > limit {
				t.Errorf("%d MiB in use, want %d at most", most.Load()>>20, limit>>20)
			}
		})
	}
}

// inUse returns the number of bytes in use.
func inUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
