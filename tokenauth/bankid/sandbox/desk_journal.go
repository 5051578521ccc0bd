package sandbox

import (
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// journalRoom is how many requests the desk shows. What it keeps of each is short.
const journalRoom = 50

// A journal keeps the last requests to BankID's paths and to the signing pages. It is safe
// for concurrent use.
type journal struct {
	mu   sync.Mutex
	next int
	last *recent[int, journalEntry]
}

// A journalEntry is what the desk shows of a request. It has no token and no secret.
type journalEntry struct {
	Time   time.Time
	Method string
	Path   string // as it was escaped on the wire, without its query
	Status int    // 0 if there was no response
	Client string // "" if the request names none
	Scope  string // of its token, or asked for at the token endpoint
	Reason string // why it was refused, in a sentence, "" if it was not
}

func newJournal() *journal { return &journal{last: newRecent[int, journalEntry](journalRoom)} }

func (j *journal) add(e journalEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	j.last.add(j.next, e, 1)
}

// entries returns the requests, the last of them first.
func (j *journal) entries() []journalEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]journalEntry, 0, len(j.last.oldest))
	for _, number := range slices.Backward(j.last.oldest) {
		e, _ := j.last.get(number)
		list = append(list, e)
	}
	return list
}

// A watchedResponse notes what became of a request.
type watchedResponse struct {
	http.ResponseWriter

	server  *Server
	request *http.Request
	came    time.Time
	client  string // that the request names
	scope   string
	faults  []Fault // that it met
	status  int
	refusal []byte // the start of the body of a refusal
}

// maxRefusal is how much of the body of a refusal is read for its reason.
const maxRefusal = 2 << 10

// watch returns a response that is noted.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) *watchedResponse {
	watched := &watchedResponse{ResponseWriter: w, server: s, request: r, came: s.clock.now()}
	switch token, ok := s.presented(r); {
	case r.URL.EscapedPath() == s.tokenPath:
		watched.client, watched.scope = applicant(r), peekForm(r).Get("scope")
	case ok:
		watched.client, watched.scope = token.AuthorizedParty, token.Scope
	default:
		watched.client = s.caller(r)
	}
	return watched
}

// note adds the request to the journal.
func (w *watchedResponse) note() {
	w.server.journal.add(journalEntry{
		Time:   w.came,
		Method: shown(w.request.Method),
		Path:   shown(w.request.URL.EscapedPath()),
		Status: w.status,
		Client: shown(w.client),
		Scope:  shown(w.scope),
		Reason: shown(w.reason()),
	})
}

// WriteHeader implements [http.ResponseWriter].
func (w *watchedResponse) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *watchedResponse) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if room := maxRefusal - len(w.refusal); w.status >= 400 && room > 0 {
		w.refusal = append(w.refusal, p[:min(room, len(p))]...)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *watchedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// secrets are what the desk does not show, wherever a client has put it: JWTs, and the codes,
// service tokens, activation data and sign_ids of the sandbox.
var secrets = regexp.MustCompile(`eyJ[\w-]*\.[\w.-]*|(?i:sandbox)-[A-Z2-7]{26}`)

// shown makes what a client sent fit to be shown.
func shown(text string) string { return secrets.ReplaceAllString(abridged(text), "[…]") }
