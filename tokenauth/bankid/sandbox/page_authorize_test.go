package sandbox_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// authorization returns the parameters of an authorization request, some of them changed.
func authorization(more url.Values) url.Values {
	query := url.Values{
		"client_id": {sandbox.ClientID}, "redirect_uri": {redirectURI + "?keep=%41"}, "response_type": {"code"}, "state": {"a b&c"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	maps.Copy(query, more)
	return query
}

// browser is what a browser that navigates sends.
func browser() http.Header {
	return http.Header{"Accept": {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "Sec-Fetch-Mode": {"navigate"}}
}

func TestWhoSeesTheAuthorizePage(t *testing.T) {
	callers := []http.Header{
		browser(),
		{"Accept": browser()["Accept"]}, // one that is old, or not at a trustworthy origin
		{"Accept": browser()["Accept"], "Sec-Fetch-Mode": {"cors"}},  // a script in a page
		{"Accept": {"text/html, image/gif, image/jpeg, */*; q=0.2"}}, // Java's HttpURLConnection
		{"Accept": {"*/*"}},
		nil,
	}
	for who, sees := range map[string][]bool{
		"":                        {true, true, false, false, false, false},
		sandbox.AuthorizeBrowsers: {true, true, false, false, false, false},
		sandbox.AuthorizeAlways:   {true, true, true, true, true, true},
		sandbox.AuthorizeNever:    {false, false, false, false, false, false},
	} {
		s := newServer(t, sandbox.Options{AuthorizePage: who})
		for i, header := range callers {
			w := visit(t, s, "GET", authorizePath+"?"+authorization(nil).Encode(), nil, header)
			if sees[i] {
				wantPage(t, w, http.StatusOK, "nb", "Godkjenn signering")
			} else if added := redirected(t, w, redirectURI+"?keep=%41"); !added.Has("code") {
				t.Errorf("%q: %v gets %v", who, header, added)
			}
		}
	}
	if err := (sandbox.Options{AuthorizePage: "sometimes"}).Validate(); err == nil || !strings.Contains(err.Error(), "browsers, always, never") {
		t.Errorf("the error is %v", err)
	}
}

// refreshed returns what a page adds to the redirect URI that it leads to.
func refreshed(t *testing.T, w *httptest.ResponseRecorder) url.Values {
	t.Helper()
	wantPage(t, w, http.StatusOK, "nn", `class="button"`)
	rest, ok := strings.CutPrefix(w.Header().Get("Refresh"), "0;url="+redirectURI+"?keep=%41&")
	added, err := url.ParseQuery(rest)
	if !ok || err != nil {
		t.Fatalf("Refresh is %q, %v", w.Header().Get("Refresh"), err)
	}
	return added
}

func TestConsent(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	query := authorization(url.Values{"lang": {"nn"}}).Encode()
	page := visit(t, s, "GET", authorizePath+"?"+query, nil, browser())
	wantPage(t, page, http.StatusOK, "nn", sandbox.ClientID)
	person := url.Values{"decision": {"approve"}, "person": {sandbox.Persons()[1].NationalID}}
	added := refreshed(t, visit(t, s, "POST", "/sandbox/consent?"+query, person, nil))
	if len(added) != 2 || added.Get("state") != "a b&c" {
		t.Errorf("approval: %v", added)
	}
	exchange := url.Values{"code": added["code"], "redirect_uri": {redirectURI + "?keep=%41"}}
	granted := decode[map[string]any](t, exchangeWith(t, s, bearer(t, s, "esign/csc"), exchange), http.StatusOK)
	token, _ := granted["access_token"].(string)
	listing := decode[struct{ CredentialInfos []described }](t, ask(t, s, credentialsList, token, body{"credentialInfo": true, "certInfo": true}), http.StatusOK)
	if len(listing.CredentialInfos) != 1 || !strings.Contains(listing.CredentialInfos[0].Cert.SubjectDN, "SANDBOX Hansen") {
		t.Errorf("the credential is another person's: %+v", listing)
	}

	added = refreshed(t, visit(t, s, "POST", "/sandbox/consent?"+query, url.Values{"decision": {"cancel"}}, nil))
	if added.Get("error") != "access_denied" || added.Get("state") != "a b&c" || added.Has("code") {
		t.Errorf("cancellation: %v", added)
	}
	for _, form := range []url.Values{{}, {"decision": {"approve"}}, {"decision": {"approve"}, "person": {"1"}}} {
		wantPage(t, visit(t, s, "POST", "/sandbox/consent?"+query, form, nil), http.StatusBadRequest, "nn", "Noko er feil")
	}
}

// A request that is wrong gets the same error as without the page.
func TestConsentToWhatIsWrong(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	query := authorization(url.Values{"scope": {"other"}, "lang": {"nn"}}).Encode()
	if added := redirected(t, visit(t, s, "GET", authorizePath+"?"+query, nil, browser()), redirectURI+"?keep=%41"); added.Get("error") != "invalid_scope" {
		t.Errorf("the browser goes to %v", added)
	}
	approval := url.Values{"decision": {"approve"}, "person": {sandbox.Persons()[0].NationalID}}
	if added := refreshed(t, visit(t, s, "POST", "/sandbox/consent?"+query, approval, nil)); added.Get("error") != "invalid_scope" || added.Has("code") {
		t.Errorf("the form leads to %v", added)
	}
	for _, more := range []url.Values{{"client_id": {"other"}}, {"redirect_uri": {"http://rp.example"}}} {
		w := visit(t, s, "POST", "/sandbox/consent?"+authorization(more).Encode(), approval, nil)
		if w.Code != http.StatusBadRequest || w.Header().Get("Refresh") != "" {
			t.Errorf("%v: status %d, %q", more, w.Code, w.Header())
		}
	}
}
