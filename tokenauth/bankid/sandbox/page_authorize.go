package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorizePath is CSC's authorize endpoint.
const authorizePath = "/csc/v2/oauth2/authorize"

// consentPath is where the form of its page goes, with the query of the request.
const consentPath = controlPath + "consent"

// Who sees the page of CSC's authorize endpoint, see [Options].
const (
	AuthorizeBrowsers = "browsers" // browsers
	AuthorizeAlways   = "always"   // everyone
	AuthorizeNever    = "never"    // nobody: everyone consents at once
)

// An authorizePage is the page on which a person consents.
type authorizePage struct {
	frame
	Client  string
	Action  string // where the form goes
	Persons []Person
	Chosen  Person
}

// wantsPage reports whether a request to the authorize endpoint gets the page. A browser
// that navigates says so by Sec-Fetch-Mode (https://www.w3.org/TR/fetch-metadata/). Browsers
// send this field to trustworthy origins only, and old ones never; but they all accept
// text/html and application/xhtml+xml. Java's HttpURLConnection accepts the former.
func (s *Server) wantsPage(r *http.Request) bool {
	switch s.authorizePage {
	case AuthorizeAlways:
		return true
	case AuthorizeNever:
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/html") && strings.Contains(accept, "application/xhtml+xml")
}

// showAuthorize asks the person at the browser for consent.
func (s *Server) showAuthorize(w http.ResponseWriter, query url.Values) {
	page := authorizePage{
		Client: query.Get("client_id"), Action: consentPath + "?" + query.Encode(),
		Persons: Persons(), Chosen: Persons()[0],
	}
	var err error
	page.frame, err = newFrame(authorizeLanguage(query), "authorize-heading", func(lang string) string {
		other := url.Values{"lang": {lang}}
		for name, values := range query {
			if name != "lang" {
				other[name] = values
			}
		}
		return authorizePath + "?" + other.Encode()
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.show(w, http.StatusOK, "page_authorize.html", page)
}

// cscConsent takes the decision of the person who saw the page.
func (s *Server) cscConsent(w http.ResponseWriter, r *http.Request) {
	request, failed := s.readAuthorization(r.URL.RawQuery)
	if failed != nil {
		failed.respond(w)
		return
	}
	lang := authorizeLanguage(request.query)
	form, ok := readDecision(w, r)
	if !ok {
		s.showMistake(w, lang)
		return
	}
	person, known := FindPerson(form.Get("person"))
	switch decision := form.Get("decision"); {
	case request.failed != nil: // the redirect URI gets to know
		s.leave(w, lang, "mistake-heading", request.location(s, Persons()[0]))
	case decision == "approve" && known:
		s.leave(w, lang, "approved-heading", request.location(s, person))
	case decision == "cancel":
		request.failed = badRequest("access_denied", "The person cancelled")
		s.leave(w, lang, "cancelled-heading", request.location(s, Persons()[0]))
	default:
		s.showMistake(w, lang)
	}
}

// authorizeLanguage returns the language of the page. One that BankID does not have is
// ignored.
func authorizeLanguage(query url.Values) string {
	if lang := query.Get("lang"); isLanguage(lang) {
		return lang
	}
	return languages()[0].Lang
}

// checkAuthorizePage checks Options.AuthorizePage.
func checkAuthorizePage(who string) error {
	all := []string{AuthorizeBrowsers, AuthorizeAlways, AuthorizeNever}
	if !slices.Contains(all, who) {
		return fmt.Errorf("authorize page %q is none of %s", who, strings.Join(all, ", "))
	}
	return nil
}
