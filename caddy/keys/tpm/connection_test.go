package tpm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A TPM that is busy is asked again.
func TestTPMThatIsBusy(t *testing.T) {
	for name, rc := range map[string]tpm2.TPMRC{
		"retry": tpm2.TPMRCRetry, "yielded": tpm2.TPMRCYielded, "testing": tpm2.TPMRCTesting, "NV rate": tpm2.TPMRCNVRate,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulator(t)
			sent := make(map[tpm2.TPMCC]int)
			d := s.hooked(func(command []byte) []byte {
				command2 := tpm2.TPMCC(code(command))
				if sent[command2]++; sent[command2]%3 != 0 {
					return failure(rc)
				}
				return nil
			})
			key := s.make(s.key(d, Key{File: s.path("key"), Auth: auth}), "ES256")
			if err := key.Try(t.Context()); err != nil {
				t.Error(err)
			}
			if n := s.left(); n != 0 {
				t.Errorf("%d keys or sessions are left in the TPM", n)
			}
		})
	}
}

// A TPM that stays busy is not asked any longer than a caller waits.
func TestTPMThatStaysBusy(t *testing.T) {
	s := newSimulator(t)
	var busy atomic.Bool
	d := s.hooked(func(command []byte) []byte {
		if busy.Load() && tpm2.TPMCC(code(command)) == tpm2.TPMCCSign {
			return failure(tpm2.TPMRCRetry)
		}
		return nil
	})
	key := s.make(s.key(d, Key{File: s.path("key")}), "ES256")
	busy.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := key.Try(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("before its deadline, the error is %v", err)
	}
	busy.Store(false)
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("when it is not busy any more: %v", err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d keys or sessions are left in the TPM", n)
	}
}

// Callers of a TPM that hangs leave by their own deadlines, and one call hangs.
func TestTPMThatHangs(t *testing.T) {
	s := newSimulator(t)
	var hangs atomic.Bool
	var inside atomic.Int32
	repaired := make(chan struct{})
	d := s.hooked(func([]byte) []byte {
		if hangs.Load() {
			inside.Add(1)
			<-repaired
		}
		return nil
	})
	key := s.make(s.key(d, Key{File: s.path("key")}), "ES256")
	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if err := key.Try(ctx); err == nil || ctx.Err() == nil {
				t.Errorf("before its deadline, the error is %v", err)
			}
		})
	}
	callers.Wait()
	if n := inside.Load(); n != 1 {
		t.Errorf("%d calls hang, want 1", n)
	}
	hangs.Store(false)
	close(repaired)
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d keys or sessions are left in the TPM", n)
	}
}

// A slow TPM takes 20 ms for each command, and responds as if there was nothing to say.
type slow struct{}

func (slow) Write(command []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return len(command), nil
}
func (slow) Read(p []byte) (int, error) { return copy(p, failure(tpm2.TPMRCSuccess)), nil }
func (slow) Close() error               { return nil }

// 1,000 callers of a slow TPM get what they want in the order in which they came, or leave
// by their own deadlines. The bubble makes sure that no goroutine stays.
func TestThousandCallersOfASlowTPM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice("slow")
		d.open = func(ctx context.Context, _ string) (*connection, error) { return &connection{slow{}, ctx}, nil }
		began := time.Now()
		served := make(chan int, 1000)
		var callers sync.WaitGroup
		for i := range 1000 {
			wait := time.Minute
			if i%2 == 1 {
				wait = 5 * time.Second
			}
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				err := d.do(ctx, func(tpm transport.TPM) error {
					_, err := tpm2.FlushContext{FlushHandle: tpm2.TPMHandle(1)}.Execute(tpm)
					return err
				})
				switch took := time.Since(began); {
				case err == nil:
					served <- i
				case !errors.Is(err, context.DeadlineExceeded) || took != wait:
					t.Errorf("caller %d: after %v, the error is %v", i, took, err)
				}
			})
			synctest.Wait() // so that they come in this order
		}
		callers.Wait()
		close(served)
		last, n := -1, 0
		for i := range served {
			if i < last {
				t.Errorf("caller %d was served after caller %d", i, last)
			}
			last, n = i, n+1
		}
		// 250 callers have had their turn after 5 seconds. Of the others, those with a
		// minute remain.
		if want := 250 + 375; n < want-1 || n > want+1 || last != 998 {
			t.Errorf("%d callers were served, and caller %d was the last, want %d and 998", n, last, want)
		}
	})
}

// A connection that breaks is an error, never part of a response.
func TestConnectionThatBreaks(t *testing.T) {
	for name, response := range map[string]string{
		"nothing": "", "half a header": "\x80\x01\x00\x00", "half a response": "\x80\x01\x00\x00\x00\x20\x00\x00\x00\x00",
		"too long": "\x80\x01\x00\x00\xff\xff\x00\x00\x00\x00", "too short": "\x80\x01\x00\x00\x00\x05\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c := &connection{broken{strings.NewReader(response)}, t.Context()}
			if _, err := (tpm2.FlushContext{FlushHandle: tpm2.TPMHandle(1)}).Execute(c); err == nil {
				t.Error("there is no error")
			}
		})
	}
}

// a broken connection gives only what is in the reader.
type broken struct{ *strings.Reader }

func (broken) Write(p []byte) (int, error) { return len(p), nil }
func (broken) Close() error                { return nil }

// A TPM that serves one program at a time is tried again while another one has it: a
// character device without a resource manager, or a socket at which too many wait.
func TestTPMThatAnotherProgramUses(t *testing.T) {
	for _, cause := range []error{syscall.EBUSY, syscall.EAGAIN} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			if _, err := patiently(t.Context(), func() (*connection, error) {
				if tries++; tries < 5 {
					return nil, openError("/dev/tpm0", cause)
				}
				return new(connection), nil
			}); err != nil || tries != 5 {
				t.Errorf("after %d tries, the error is %v", tries, err)
			}
			inUse := func() (*connection, error) { return nil, openError("/dev/tpm0", cause) }
			began := time.Now()
			if _, err := patiently(t.Context(), inUse); !errors.Is(err, errInUse) || time.Since(began) != openWait {
				t.Errorf("after %v, the error is %v", time.Since(began), err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began = time.Now()
			if _, err := patiently(ctx, inUse); !errors.Is(err, errInUse) || time.Since(began) != time.Second {
				t.Errorf("for a caller that waits for a second, after %v the error is %v", time.Since(began), err)
			}
		})
	}
}
