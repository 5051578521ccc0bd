package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// faultJSON is a Fault with its durations as people write them.
type faultJSON struct {
	plainFault
	Delay      duration `json:"delay,omitzero"`
	RetryAfter duration `json:"retry_after,omitzero"`
	Offset     duration `json:"offset,omitzero"`
}

type plainFault Fault // without its methods

// A duration is written as [time.ParseDuration] reads it.
type duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration such as \"5s\"", text)
	}
	*d = duration(parsed)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// MarshalJSON implements [json.Marshaler].
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{plainFault(f), duration(f.Delay), duration(f.RetryAfter), duration(f.Offset)})
}

// UnmarshalJSON implements [json.Unmarshaler]. A member that a Fault does not
// have is an error, since it would restrict nothing.
func (f *Fault) UnmarshalJSON(text []byte) error {
	var read faultJSON
	decoder := newJSONReader(bytes.NewReader(text))
	decoder.strict = true
	if err := decoder.Decode(&read); err != nil {
		return err
	}
	*f = Fault(read.plainFault)
	f.Delay, f.RetryAfter, f.Offset = time.Duration(read.Delay), time.Duration(read.RetryAfter), time.Duration(read.Offset)
	return nil
}

// injectFault injects a fault for any client that reaches it. BankID has no such
// endpoint; it is guarded as driveOrder is.
func (s *Server) injectFault(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var f Fault
	if !readControl(w, r, &f) {
		return
	}
	if err := s.Inject(f); err != nil {
		respondJSON(w, http.StatusBadRequest, abridged(err.Error()))
		return
	}
	s.listFaults(w, r)
}

// listFaults responds with the faults there are.
func (s *Server) listFaults(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	respondJSON(w, http.StatusOK, s.Faults())
}

// endFaults ends them.
func (s *Server) endFaults(w http.ResponseWriter, _ *http.Request) {
	s.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}
