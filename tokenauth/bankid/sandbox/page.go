package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
)

//go:embed page.css desk.js page_*.html desk.html
var pageFiles embed.FS

// pagePolicy is the content security policy of the pages. They have no inline script or
// style, nothing of another origin, and nobody may frame them.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// parsePages parses the templates of the pages. They are part of the program, so each
// test fails if one cannot be parsed.
func parsePages() *template.Template {
	return template.Must(template.New("").ParseFS(pageFiles, "page_*.html", "desk.html"))
}

// isForPeople reports whether a path is for a browser or for the control of the sandbox.
// BankID's APIs are not.
func (s *Server) isForPeople(path string) bool {
	_, page := parsePagePath(path)
	return page || path == deskPath || path == authorizePath || strings.HasPrefix(path, controlPath)
}

// guard refuses requests to the pages and to the control of the sandbox that a foreign page
// in the browser of its user makes, and reports whether the request may go on.
func (s *Server) guard(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin") // with no-referrer, forms would have the Origin "null"
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	// The name of a foreign page can resolve to loopback. Then the page has the origin of the
	// sandbox, and only Host shows the attack.
	if !s.isOwnHost(r.Host) {
		http.Error(w, fmt.Sprintf("the sandbox has no pages at the host %q: use localhost, a loopback address or the host of its issuer", abridged(r.Host)), http.StatusForbidden)
		return false
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "the sandbox refuses a request of a page of another origin", http.StatusForbidden)
		return false
	}
	return true
}

// isOwnHost reports whether a Host header names this machine or the host of the issuer.
func (s *Server) isOwnHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback() {
		return true
	}
	issuer, err := url.Parse(s.issuer)
	return err == nil && strings.EqualFold(name, issuer.Hostname())
}

// show responds with a page.
func (s *Server) show(w http.ResponseWriter, status int, page string, data any) {
	var text bytes.Buffer
	if err := s.pages.ExecuteTemplate(&text, page, data); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // what can fail is the connection
}

// pageFile returns a handler for an embedded file.
func pageFile(name, mediaType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := pageFiles.ReadFile(name)
		if err != nil {
			http.Error(w, "the file is missing", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(content)
	}
}

// A pagePath is the path of the signing page of an order, or of one of its documents.
type pagePath struct {
	lang     string
	signID   string
	document string // "" for the page, otherwise such as "1.pdf"
}

// parsePagePath parses /{lang}/{sign_id}, and what is below it. BankID's page is at such a
// path of another host; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/signdoc-overview.
func parsePagePath(escaped string) (pagePath, bool) {
	parts := strings.Split(escaped, "/")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "" || parts[2] == "" || !isLanguage(parts[1]) {
		return pagePath{}, false
	}
	p := pagePath{lang: parts[1], signID: parts[2]}
	if len(parts) == 4 {
		if parts[3] == "" {
			return pagePath{}, false
		}
		p.document = parts[3]
	}
	return p, true
}

// String returns the path.
func (p pagePath) String() string { return path.Join("/", p.lang, p.signID, p.document) }

// A frame is what all pages for signers have in common.
type frame struct {
	Lang    string
	Heading string
	Others  []languageLink // the same page in the other languages
}

// A languageLink leads to a page in another language.
type languageLink struct{ Lang, Name, Href string }

// Text returns a text in the language of the page.
func (f frame) Text(name string) (string, error) { return pageText(f.Lang, name) }

// newFrame returns the frame of a page in a language. The page is at href in the other
// languages, or only in this one.
func newFrame(lang, heading string, href func(lang string) string) (frame, error) {
	f := frame{Lang: lang}
	var err error
	if f.Heading, err = pageText(lang, heading); err != nil {
		return f, err
	}
	for _, other := range languages() {
		if other.Lang != lang && href != nil {
			other.Href = href(other.Lang)
			f.Others = append(f.Others, other)
		}
	}
	return f, nil
}
