package sandbox

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// An endPage says how it ended, and leads back to the application.
type endPage struct {
	frame
	Body string // a text's name
	// Target is where the page leads, if it leads anywhere. Shown is it as text, if a browser
	// would not go there.
	Target template.URL
	Shown  string
}

// leave responds with a page that the browser leaves at once for a URL of the
// application, which stays as it is. It is no redirect: Chromium applies the policy's
// form-action to where the redirects after a form lead, and nobody knows where those of
// the application lead.
func (s *Server) leave(w http.ResponseWriter, lang, heading, target string) {
	page := endPage{Body: "leaving"}
	switch {
	case target == "":
		page.Body = "no-redirect"
	case !isForBrowser(target):
		page.Body, page.Shown = "bad-redirect", target
	default:
		page.Target = template.URL(target) //nolint:gosec // its scheme does not run anything
		w.Header().Set("Refresh", "0;url="+inHeader(target))
	}
	s.showEnd(w, http.StatusOK, lang, heading, page)
}

// showEnd responds with an end page, which stays.
func (s *Server) showEnd(w http.ResponseWriter, status int, lang, heading string, page endPage) {
	var err error
	if page.frame, err = newFrame(lang, heading, nil); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.show(w, status, "page_end.html", page)
}

// isForBrowser reports whether a browser goes to a URL that a page sends it to: a web page, or
// an app by a scheme of its own (RFC 8252, section 7.1). The other schemes would run or
// show something in the sandbox's name.
func isForBrowser(target string) bool {
	u, err := url.Parse(target)
	if err != nil || u.Scheme == "" {
		return false
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return u.Host != ""
	}
	return !slices.Contains([]string{"about", "blob", "chrome", "data", "file", "filesystem", "javascript", "vbscript", "view-source"}, u.Scheme)
}

// inHeader writes a URL such that a header can carry it: what is not ASCII is escaped, as
// browsers do in any case.
func inHeader(target string) string {
	var text strings.Builder
	for _, c := range []byte(target) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&text, "%%%02X", c)
			continue
		}
		text.WriteByte(c)
	}
	return text.String()
}
