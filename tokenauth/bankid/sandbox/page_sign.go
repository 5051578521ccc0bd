package sandbox

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A signPage is the page on which a person signs an order.
type signPage struct {
	frame
	Order     string // its name
	SignID    string
	Documents []pageDocument
	Persons   []Person
	Chosen    Person // signs unless the person at the browser chooses another
}

// A pageDocument is a document on the signing page.
type pageDocument struct {
	Description string
	Href        string
}

// serveSigning serves the signing page of an order.
func (s *Server) serveSigning(p pagePath) methods {
	if p.document != "" {
		return methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) { s.showDocument(w, p) }}
	}
	return methods{
		http.MethodGet:  func(w http.ResponseWriter, _ *http.Request) { s.showOrder(w, p) },
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) { s.decideOrder(w, r, p) },
	}
}

// showOrder shows an order that can be signed. From then on, it waits for its signer.
func (s *Server) showOrder(w http.ResponseWriter, p pagePath) {
	order, state, ok := s.orders.present(p.orderID())
	switch {
	case !ok:
		s.showUnknown(w, p.lang)
		return
	case state != userSigning:
		page := endPage{Body: "ended"}
		if isForBrowser(order.redirectURL) {
			page.Target = template.URL(order.redirectURL) //nolint:gosec // its scheme does not run anything
		}
		s.showEnd(w, http.StatusOK, p.lang, state, page)
		return
	}
	page := signPage{Order: order.name, SignID: p.orderID(), Persons: Persons(), Chosen: order.signer}
	var err error
	page.frame, err = newFrame(p.lang, "sign-heading", func(lang string) string { return pagePath{lang: lang, signID: p.signID}.String() })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for i, d := range order.documents {
		page.Documents = append(page.Documents, pageDocument{
			Description: d.Description,
			Href:        pagePath{lang: p.lang, signID: p.signID, document: fmt.Sprintf("%d.pdf", i+1)}.String(),
		})
	}
	s.show(w, http.StatusOK, "page_sign.html", page)
}

// orderID returns the sign_id, as it was before it became a part of a path.
func (p pagePath) orderID() string {
	signID, _ := url.PathUnescape(p.signID) // what is malformed is no order's
	return signID
}

// showDocument shows a document of an order as long as it can be signed.
func (s *Server) showDocument(w http.ResponseWriter, p pagePath) {
	order, state, ok := s.orders.present(p.orderID())
	number, err := strconv.Atoi(strings.TrimSuffix(p.document, ".pdf"))
	if !ok || state != userSigning || err != nil || p.document != fmt.Sprintf("%d.pdf", number) || number < 1 || number > len(order.documents) {
		s.showUnknown(w, p.lang)
		return
	}
	header := w.Header()
	// The signing page frames it. The browser's own viewer needs its styles.
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'")
	header.Set("X-Frame-Options", "SAMEORIGIN")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/pdf")
	header.Set("Content-Disposition", "inline")
	_, _ = w.Write(order.documents[number-1].PDF)
}

// decideOrder carries out what the person at the browser decided.
func (s *Server) decideOrder(w http.ResponseWriter, r *http.Request, p pagePath) {
	form, ok := readDecision(w, r)
	if !ok {
		s.showMistake(w, p.lang)
		return
	}
	order, _, found := s.orders.present(p.orderID())
	if !found {
		s.showUnknown(w, p.lang)
		return
	}
	var err error
	heading := signCompleted
	person, known := FindPerson(form.Get("person"))
	switch decision := form.Get("decision"); {
	case decision == "sign" && known:
		err = s.SignOrder(p.orderID(), person)
	case decision == "reject":
		heading = rejected
		err = s.RejectOrder(p.orderID())
	default:
		s.showMistake(w, p.lang)
		return
	}
	ended, isPast := errors.AsType[*OrderStateError](err)
	switch {
	case isPast:
		s.showEnd(w, http.StatusConflict, p.lang, ended.State, endPage{Body: "ended"})
	case err != nil:
		s.showUnknown(w, p.lang)
	default:
		s.leave(w, p.lang, heading, order.redirectURL)
	}
}

// readDecision reads the form of a page.
func readDecision(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, smallBody)
	if err := r.ParseForm(); err != nil {
		return nil, false
	}
	return r.PostForm, true
}

func (s *Server) showUnknown(w http.ResponseWriter, lang string) {
	s.showEnd(w, http.StatusNotFound, lang, "unknown-heading", endPage{Body: "unknown"})
}

func (s *Server) showMistake(w http.ResponseWriter, lang string) {
	s.showEnd(w, http.StatusBadRequest, lang, "mistake-heading", endPage{Body: "mistake"})
}

// present returns an order of SignDoc for its signing page, and its state. If nobody began to
// sign it, somebody does now.
func (o *orders) present(signID string) (*order, string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, state, ok := o.lookup(signID)
	if !ok || !hasSigner(found.path) {
		return nil, "", false
	}
	if state == orderReceived {
		state, found.driven = userSigning, userSigning
	}
	shown := *found // its signer can change
	return &shown, state, true
}

// hasSigner reports whether a person signs the orders of an API, by its path. Timestamping
// needs nobody.
func hasSigner(path string) bool { return slices.Contains([]string{signDocPath, signDocV0Path}, path) }
