package sandbox

import (
	"encoding/json"
	"net/http"
	"time"
)

// faultJSON is a Fault with its durations as people write them.
type faultJSON struct {
	Fault
	Delay      duration `json:"delay,omitzero"`
	RetryAfter duration `json:"retry_after,omitzero"`
	Offset     duration `json:"offset,omitzero"`
}

// A duration is written as [time.ParseDuration] reads it.
type duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// MarshalText implements [encoding.TextMarshaler].
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// injectFault lets whoever reaches it inject a fault. BankID has no such
// endpoint; it is guarded as driveOrder is.
func (s *Server) injectFault(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !hasMediaType(r, "application/json") {
		answerJSON(w, http.StatusUnsupportedMediaType, "the body is not application/json")
		return
	}
	var f faultJSON
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, smallBody))
	body.DisallowUnknownFields()
	err := body.Decode(&f)
	if err == nil {
		err = decodeEnd(body)
	}
	switch {
	case isTooLarge(err):
		answerJSON(w, http.StatusRequestEntityTooLarge, "the body is too large")
		return
	case err != nil:
		answerJSON(w, http.StatusBadRequest, "the body is not a JSON object with a fault: "+abridged(err.Error()))
		return
	}
	f.Fault.Delay, f.Fault.RetryAfter, f.Fault.Offset = time.Duration(f.Delay), time.Duration(f.RetryAfter), time.Duration(f.Offset)
	if err := s.Inject(f.Fault); err != nil {
		answerJSON(w, http.StatusBadRequest, abridged(err.Error()))
		return
	}
	s.listFaults(w, r)
}

// listFaults answers with the faults there are.
func (s *Server) listFaults(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	list := []faultJSON{}
	for _, f := range s.Faults() {
		list = append(list, faultJSON{Fault: f, Delay: duration(f.Delay), RetryAfter: duration(f.RetryAfter), Offset: duration(f.Offset)})
	}
	answerJSON(w, http.StatusOK, list)
}

// endFaults ends them.
func (s *Server) endFaults(w http.ResponseWriter, _ *http.Request) {
	s.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}
