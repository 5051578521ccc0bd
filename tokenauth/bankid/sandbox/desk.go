package sandbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// Paths of the desk.
const (
	deskPath       = "/"
	deskStylePath  = controlPath + "page.css"
	deskScriptPath = controlPath + "desk.js"
	deskEventsPath = controlPath + "desk/events"
)

// deskOrders is how many orders the desk shows.
const deskOrders = 50

// A desk is the page for the developer of an application.
type desk struct {
	Issuer, TokenEndpoint, Origin string

	Error   string // what is wrong with the form that was sent, if anything
	Manual  bool
	Delay   time.Duration // until an order is complete by itself
	Live    deskLive
	Clients []deskClient
	Calls   []string // such as "GET /v1/signdoc/pades"
	Effects []Effect
}

// deskLive is what changes while the desk is open.
type deskLive struct {
	Requests []journalEntry
	Orders   []deskOrder
	Faults   []deskFault
}

// A deskOrder is an order on the desk.
type deskOrder struct {
	SignID  string
	Name    string
	Client  string
	State   string
	Created time.Time
	Page    string // its signing page, "" if nobody signs it
	Open    bool   // it can be signed and rejected
}

// A deskFault is a fault on the desk.
type deskFault struct {
	Effect Effect
	About  string // where it is, and for how long
}

// A deskClient is a client on the desk.
type deskClient struct {
	ID, Scopes string
	Secret     string // only if it is a published one
	Keys       string // the kid of each
	DPoP       bool
	APIs       []deskAPI // those its scopes are for
}

// A deskAPI is an API of a client, as a gateway's configuration names it.
type deskAPI struct{ Name, Upstream string }

// showDesk shows the desk.
func (s *Server) showDesk(w http.ResponseWriter, _ *http.Request) {
	s.show(w, http.StatusOK, "desk.html", s.desk(nil))
}

// desk returns what the desk shows. The error is about the form that was sent.
func (s *Server) desk(wrong error) desk {
	d := desk{
		Issuer: s.issuer, TokenEndpoint: s.origin + s.tokenPath, Origin: s.origin,
		Manual: s.orders.manual, Delay: s.orders.delay,
		Live: s.deskLive(), Clients: s.deskClients(), Calls: s.calls(),
		Effects: []Effect{Status, Delay, Hang, Reset, BrokenJSON, DemandNonce, RevokeTokens, RotateKey, MoveClock},
	}
	if wrong != nil {
		d.Error = shown(wrong.Error())
	}
	return d
}

// calls lists the calls that can meet a fault.
func (s *Server) calls() []string {
	var calls []string
	for _, path := range slices.Sorted(maps.Keys(s.endpoint)) {
		for _, method := range slices.Sorted(maps.Keys(s.endpoint[path])) {
			if s.canFail(Fault{Method: method}, path) {
				calls = append(calls, method+" "+path)
			}
		}
	}
	return calls
}

func (s *Server) deskLive() deskLive {
	live := deskLive{Requests: s.journal.entries(), Orders: s.orders.list()}
	for _, f := range s.Faults() {
		live.Faults = append(live.Faults, deskFault{Effect: f.Effect, About: f.about()})
	}
	return live
}

// about says what a fault does, where, and for how long.
func (f Fault) about() string {
	var parts []string
	add := func(given bool, format string, arguments ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, arguments...))
		}
	}
	add(f.Status != 0, "%d", f.Status)
	add(f.Code != "", "%s", f.Code)
	add(f.Delay != 0, "%v", f.Delay)
	add(f.Offset != 0, "%v", f.Offset)
	add(f.RetryAfter != 0, "Retry-After %v", f.RetryAfter)
	add(f.Late, "after the request was carried out")
	add(f.Effect != MoveClock, "%s", "at "+strings.TrimSpace(f.Method+" "+cmp.Or(f.Path, "all paths")))
	add(f.ClientID != "", "for %s", f.ClientID)
	add(f.Count > 0, "%d times", f.Count)
	return strings.Join(parts, ", ")
}

// list returns the orders for the desk, the newest of them first.
func (o *orders) list() []deskOrder {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []deskOrder
	for _, signID := range slices.Backward(slices.Clone(o.open.oldest)) { // lookup removes what is too old
		found, state, ok := o.lookup(signID)
		if !ok {
			continue
		}
		if len(list) == deskOrders {
			break
		}
		d := deskOrder{SignID: signID, Name: found.name, Client: found.client, State: state, Created: found.created}
		if hasSigner(found.path) {
			d.Open = state == orderReceived || state == userSigning
			d.Page = pagePath{lang: languages()[0].Lang, signID: signID}.String()
		}
		list = append(list, d)
	}
	return list
}

func (s *Server) deskClients() []deskClient {
	s.clients.mu.RLock()
	defer s.clients.mu.RUnlock()
	list := make([]deskClient, 0, len(s.clients.known))
	for _, id := range slices.Sorted(maps.Keys(s.clients.known)) {
		c := s.clients.known[id]
		d := deskClient{ID: id, Scopes: strings.Join(c.Scopes, " "), DPoP: c.DPoPRequired}
		if c.Secret == ClientSecret || c.Secret == B2BClientSecret {
			d.Secret = c.Secret
		}
		keys := make([]string, 0, len(c.Keys.Keys))
		for _, key := range c.Keys.Keys {
			keys = append(keys, key.KeyID)
		}
		d.Keys = strings.Join(keys, " ")
		for _, api := range []struct{ scope, name string }{
			{bankid.ScopeESign, "signdoc"}, {bankid.ScopeCSC, "csc"}, {bankid.ScopeQTSA, "timestamp"}, {bankid.ScopeB2B, "b2b"},
		} {
			if slices.Contains(c.Scopes, api.scope) {
				d.APIs = append(d.APIs, deskAPI{Name: api.name, Upstream: s.origin})
			}
		}
		list = append(list, d)
	}
	return list
}

// deskOrder signs or rejects an order from the desk.
func (s *Server) deskOrder(w http.ResponseWriter, r *http.Request) {
	s.carryOut(w, r, func(form url.Values) error {
		switch form.Get("decision") {
		case "sign":
			return s.SignOrder(form.Get("sign_id"), Persons()[0])
		case "reject":
			return s.RejectOrder(form.Get("sign_id"))
		default:
			return errors.New("the form has no decision")
		}
	})
}

// deskFault injects a fault from the desk.
func (s *Server) deskFault(w http.ResponseWriter, r *http.Request) {
	s.carryOut(w, r, func(form url.Values) error {
		fault, err := faultFromForm(form)
		if err != nil {
			return err
		}
		return s.Inject(fault)
	})
}

// deskEndFaults ends all faults from the desk.
func (s *Server) deskEndFaults(w http.ResponseWriter, r *http.Request) {
	s.carryOut(w, r, func(url.Values) error {
		s.ClearFaults()
		return nil
	})
}

// carryOut carries out what a form of the desk asks for, and shows the desk again.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, act func(url.Values) error) {
	form, ok := readDecision(w, r)
	err := errors.New("the form cannot be read")
	if ok {
		err = act(form)
	}
	if err != nil {
		s.show(w, http.StatusBadRequest, "desk.html", s.desk(err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", deskPath)
	w.WriteHeader(http.StatusSeeOther) // so that a reload does not send the form again
}

// faultFromForm reads the form for a fault. Fields that an effect does not use have to be
// empty.
func faultFromForm(form url.Values) (Fault, error) {
	f := Fault{Effect: Effect(form.Get("effect")), ClientID: form.Get("client_id")}
	f.Method, f.Path, _ = strings.Cut(form.Get("call"), " ")
	f.Late = form.Get("late") != ""
	f.DisableOld = form.Get("disable_old") != ""
	for name, number := range map[string]*int{"status": &f.Status, "count": &f.Count} {
		text := form.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return Fault{}, fmt.Errorf("%s %q is not a number", name, abridged(text))
		}
		*number = n
	}
	text := form.Get("duration")
	if text == "" {
		return f, nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return Fault{}, fmt.Errorf("%q is no duration such as 5s", abridged(text))
	}
	switch f.Effect {
	case MoveClock:
		f.Offset = duration
	case Status:
		f.RetryAfter = duration
	default:
		f.Delay = duration
	}
	return f, nil
}

// streamInterval is how often the desk is looked at for changes.
const streamInterval = 500 * time.Millisecond

// streamDesk sends what has changed on the desk, as server-sent events.
func (s *Server) streamDesk(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	connection := http.NewResponseController(w)
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	var before []byte
	for {
		var now bytes.Buffer
		if err := s.pages.ExecuteTemplate(&now, "desk-live", s.deskLive()); err != nil {
			return
		}
		if !bytes.Equal(before, now.Bytes()) {
			before = now.Bytes()
			for line := range bytes.Lines(before) {
				fmt.Fprintf(w, "data: %s\n", bytes.TrimRight(line, "\r\n"))
			}
			fmt.Fprint(w, "\n")
			if connection.Flush() != nil {
				return // the browser has left, or nothing can be streamed
			}
		}
		select {
		case <-ticker.C:
		case <-s.ended:
			return
		case <-r.Context().Done():
			return
		}
	}
}
