package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// maxFaults is how many faults can wait for their requests at a time.
const maxFaults = 100

// Inject makes a fault happen from now on, or at once. It returns an error if
// the fault is contradictory, names a client or path that the sandbox does not
// have, or is the 101st that waits for requests. It is safe for concurrent use.
func (s *Server) Inject(f Fault) error {
	err := f.check()
	if err == nil {
		err = s.checkTarget(f)
	}
	if err == nil {
		err = s.inject(f)
	}
	if err != nil {
		return fmt.Errorf("sandbox: fault: %w", err)
	}
	return nil
}

func (s *Server) inject(f Fault) error {
	switch f.Effect {
	case RevokeTokens:
		s.tokens.revoke(f.ClientID)
	case MoveClock:
		s.clock.move(f.Offset)
	case RotateKey:
		return s.tokens.keys.rotate(f.DisableOld)
	case DemandNonce:
		s.nonces.renew()
		return s.faults.add(f)
	default:
		return s.faults.add(f)
	}
	return nil
}

// checkTarget makes sure that a fault can meet a request.
func (s *Server) checkTarget(f Fault) error {
	if _, ok := s.clients.get(f.ClientID); f.ClientID != "" && !ok {
		return fmt.Errorf("client_id %q is unknown", f.ClientID)
	}
	paths := slices.Collect(maps.Keys(s.endpoint))
	if f.Path != "" {
		paths = []string{f.Path}
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return !s.canFail(f, path) })
	switch {
	case len(paths) == 0 && f.Method != "":
		return fmt.Errorf("no call is %s, or the effect is not for it", strings.TrimSpace(f.Method+" "+f.Path))
	case len(paths) == 0:
		return fmt.Errorf("path %q is unknown, or the effect is not for it", f.Path)
	}
	return nil
}

// canFail reports whether a fault can meet a request to path.
func (s *Server) canFail(f Fault, path string) bool {
	_, takes := s.endpoint[path][f.Method]
	switch {
	case s.endpoint[path] == nil, path == deskPath, strings.HasPrefix(path, controlPath), f.Method != "" && !takes:
		return false
	case f.Effect == DemandNonce:
		return path == s.tokenPath || strings.HasPrefix(path, "/v0/b2b/")
	default:
		return true
	}
}

// Faults returns the faults that wait for requests, in the order of their
// injection, with the Count that is left, and a MoveClock if the clock is wrong.
func (s *Server) Faults() []Fault {
	list := s.faults.list()
	if offset := s.clock.moved(); offset != 0 {
		list = append(list, Fault{Effect: MoveClock, Offset: offset})
	}
	return list
}

// ClearFaults ends all faults and puts the clock right. Revoked tokens stay
// revoked, and a rotated key stays rotated.
func (s *Server) ClearFaults() {
	s.faults.clear()
	s.clock.move(0)
}

// faults are those that wait for requests. The zero value is ready; it is safe
// for concurrent use.
type faults struct {
	mu      sync.Mutex
	waiting []Fault
}

func (f *faults) add(fault Fault) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == maxFaults {
		return fmt.Errorf("there are %d already", maxFaults)
	}
	f.waiting = append(f.waiting, fault)
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Fault{}, f.waiting...)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
}

// needClient reports whether it takes the request's client to know which faults
// the request meets.
func (f *faults) needClient() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.waiting, func(fault Fault) bool { return fault.ClientID != "" })
}

// meet returns the faults that match, and counts the request.
func (f *faults) meet(match func(Fault) bool) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var met []Fault
	waiting := f.waiting[:0]
	for _, fault := range f.waiting {
		if match(fault) {
			met = append(met, fault)
			if fault.Count == 1 {
				continue
			}
			fault.Count = max(0, fault.Count-1)
		}
		waiting = append(waiting, fault)
	}
	clear(f.waiting[len(waiting):])
	f.waiting = waiting
	return met
}

// faultsOf returns the faults that a request meets.
func (s *Server) faultsOf(r *http.Request) []Fault {
	client := ""
	if s.faults.needClient() {
		client = s.caller(r)
	}
	path := r.URL.EscapedPath()
	return s.faults.meet(func(f Fault) bool {
		return (f.ClientID == "" || f.ClientID == client) && (f.Method == "" || f.Method == r.Method) &&
			(f.Path == "" || f.Path == path) && s.canFail(f, path)
	})
}
