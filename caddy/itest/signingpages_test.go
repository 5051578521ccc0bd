package itest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

var writeScreenshots = flag.Bool("screenshots.write", false, "whether TestSigningPages writes pictures of the sandbox's pages into the documents")

// TestSigningPages goes with Chromium from an application's page to the pages of the sandbox and
// back, as a signer does; and looks at the desk, as a developer does. The application calls
// the sandbox through the gateway. Run
//
//	go test -run '^TestSigningPages$' -screenshots.write .
//
// to write new pictures of the pages into the documents.
func TestSigningPages(t *testing.T) {
	bankID := startSandbox(t)
	g := startGateway(t, fmt.Sprintf(`
		issuer %s
		client_id %s
		client_secret "%s"
		auth_method client_secret_basic
`, bankID.issuer, sandbox.ClientID, sandbox.ClientSecret), fmt.Sprintf(`
	bankid_esign signdoc {
		callers local
		upstream signdoc %s
	}
`, bankID.url))
	app := startApplication(t, g.url, bankID.url)
	browser := startChromium(t)

	t.Run("sign", func(t *testing.T) {
		tab := browser.open(t)
		tab.visit(app.url + "/start?lang=nb")
		tab.waitFor(`document.title === "Signer dokumenter – BankID SANDBOX"`)
		checkPage(t, tab, "nb")
		tab.waitForWhite("iframe") // Chromium shows the PDF
		screenshot(t, tab, "sandbox-signing", 760, "light")
		tab.press(`nav a[lang="nn"]`)
		tab.waitFor(`document.documentElement.lang === "nn"`)
		checkPage(t, tab, "nn")
		tab.press(`nav a[lang="en"]`)
		tab.waitFor(`document.documentElement.lang === "en"`)
		checkPage(t, tab, "en")
		tab.press(`button[value="sign"]`)
		tab.waitFor(`location.pathname === "/back"`)
		if got := tab.text("body"); got != "SIGN_COMPLETED" {
			t.Errorf("the application got %q", got)
		}
		if got, _ := tab.eval("location.search + location.hash"); got != "?a=%41&b=c#d" {
			t.Errorf("redirectUrl became %q", got)
		}
		app.checkDocument()
	})

	// Another person signs what the first has signed.
	t.Run("second signer", func(t *testing.T) {
		app.uploadAgain()
		tab := browser.open(t)
		tab.visit(app.url + "/start?lang=en")
		tab.waitFor(`document.querySelector("button[value=sign]")`)
		person := sandbox.Persons()[1]
		if _, err := tab.eval(fmt.Sprintf(`document.querySelector("input[value='%s']").click()`, person.NationalID)); err != nil {
			t.Fatal(err)
		}
		tab.press(`button[value="sign"]`)
		tab.waitFor(`location.pathname === "/back"`)
		if got := tab.text("body"); got != "SIGN_COMPLETED" {
			t.Errorf("the application got %q", got)
		}
		app.checkDocument()
	})

	t.Run("reject", func(t *testing.T) {
		tab := browser.open(t)
		tab.visit(app.url + "/start?lang=nn")
		tab.waitFor(`document.documentElement.lang === "nn"`)
		page, err := tab.eval("location.href")
		if err != nil {
			t.Fatal(err)
		}
		tab.press(`button[value="reject"]`)
		tab.waitFor(`location.pathname === "/back"`)
		if got := tab.text("body"); got != "REJECTED" {
			t.Errorf("the application got %q", got)
		}
		tab.visit(page)
		tab.waitFor(`document.querySelector("h1").innerText === "Signeringa er avvist"`)
		checkPage(t, tab, "nn")
		screenshot(t, tab, "sandbox-ended", 760, "light")
	})

	for decision, want := range map[string]string{"approve": "code", "cancel": "access_denied"} {
		t.Run(decision, func(t *testing.T) {
			tab := browser.open(t)
			tab.visit(app.url + "/authorize")
			tab.waitFor(`document.title === "Godkjenn signering – BankID SANDBOX"`)
			checkPage(t, tab, "nb")
			if decision == "approve" {
				screenshot(t, tab, "sandbox-authorize", 760, "light")
			}
			tab.press(`button[value="` + decision + `"]`)
			tab.waitFor(`location.pathname === "/consented"`)
			if got := tab.text("body"); got != want+" state-of-the-application" {
				t.Errorf("the application got %q", got)
			}
		})
	}

	// The desk shows at once what happens, and drives orders without a signer.
	t.Run("desk", func(t *testing.T) {
		tab := browser.open(t)
		tab.visit(bankID.url + "/")
		tab.waitFor(`document.getElementById("live-status").innerText.startsWith("Live")`)
		checkPage(t, tab, "en")
		signID, err := app.order("An order that the desk shows")
		if err != nil {
			t.Fatal(err)
		}
		tab.waitFor(`document.body.innerText.includes("An order that the desk shows")`)
		button := `[id="sign-` + signID + `"]`
		if _, err := tab.eval(`document.querySelector('` + button + `').focus()`); err != nil {
			t.Fatal(err)
		}
		// Something happens, and the focus stays.
		request(t, http.MethodGet, bankID.url+"/v1/signdoc/pades?sign_id=x", nil)
		tab.waitFor(`document.body.innerText.includes("The request has no Authorization header.")`)
		tab.waitFor(`document.activeElement.id === "sign-` + signID + `"`)
		request(t, http.MethodGet, bankID.url+"/v1/signdoc/pade", nil)
		if err := bankID.server.Inject(sandbox.Fault{Effect: sandbox.Status, Status: 429, Path: "/v1/signdoc/pades", Method: "DELETE", Count: 2}); err != nil {
			t.Fatal(err)
		}
		tab.waitFor(`document.getElementById("end-faults")`)
		screenshot(t, tab, "sandbox-desk", 1100, "light")
		tab.press("#end-faults")
		tab.waitFor(`!document.getElementById("end-faults") && document.body.innerText.includes("Nothing goes wrong on purpose.")`)
		if faults := bankID.server.Faults(); len(faults) > 0 {
			t.Errorf("there are faults: %v", faults)
		}
		tab.press(button)
		tab.waitFor(`!document.querySelector('` + button + `') && document.body.innerText.includes("SIGN_COMPLETED")`)
		checkPage(t, tab, "en")
	})

	// A page that resolves its own name to this machine sees nothing, and cannot frame a page.
	t.Run("foreign", func(t *testing.T) {
		signID, err := app.order("An order of nobody")
		if err != nil {
			t.Fatal(err)
		}
		tab := browser.open(t)
		for _, path := range []string{"/", "/nb/" + signID, "/sandbox/faults"} {
			tab.visit(strings.Replace(bankID.url, "127.0.0.1", "evil.test", 1) + path)
			tab.waitFor(`document.body.innerText.startsWith("the sandbox has no pages at the host \"evil.test:")`)
		}
		for page, shown := range map[string]bool{app.url + "/form": true, bankID.url + "/nb/" + signID: false} {
			tab.visit(strings.Replace(app.url, "127.0.0.1", "evil.test", 1) + "/frame?page=" + url.QueryEscape(page))
			tab.waitFor(`document.querySelector("iframe").src === "` + page + `"`)
			// Instead of a page that must not be framed, Chromium shows a page of its own.
			if got, err := tab.frame(page).eval("location.href"); err != nil || (got == page) != shown {
				t.Errorf("the frame for %s shows %s, %v", page, got, err)
			}
		}
		tab.visit(strings.Replace(app.url, "127.0.0.1", "evil.test", 1) + "/form?action=" + url.QueryEscape(bankID.url+"/nb/"+signID))
		tab.waitFor(`document.querySelector("button")`)
		tab.press("button")
		tab.waitFor(`document.body.innerText.startsWith("the sandbox refuses a request of a page of another origin")`)
		if state := app.state(signID); strings.Contains(state, "REJECTED") {
			t.Errorf("a foreign form rejected the order: %s", state)
		}
	})
}

// checkPage checks what a person needs who uses the keyboard, a screen reader or a phone.
func checkPage(t *testing.T, tab *tab, lang string) {
	t.Helper()
	for what, expression := range map[string]string{
		"the language":                   `document.documentElement.lang === "` + lang + `"`,
		"one heading of the first level": `document.querySelectorAll("h1").length === 1 && document.title.length > 10`,
		"a label for each field":         `[...document.querySelectorAll("input:not([type=hidden]), select")].every(field => field.labels.length === 1)`,
		"a name for each button":         `[...document.querySelectorAll("button")].every(button => button.innerText || button.ariaLabel)`,
		"the style sheet":                `getComputedStyle(document.querySelector("main")).maxWidth !== "none"`,
	} {
		if got, err := tab.eval(expression); got != "true" {
			t.Errorf("%s: it lacks %s: %v", lang, what, err)
		}
	}
	tab.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": true}, nil)
	tab.waitFor("true")
	if got, err := tab.eval("document.documentElement.scrollWidth"); got != "360" {
		t.Errorf("%s: on a phone it is %s pixels wide, %v", lang, got, err)
	}
	tab.do("Emulation.clearDeviceMetricsOverride", nil, nil)
}

// screenshot writes a picture of a page into the documents, if that is asked for. If the
// environment variable ESIGN_SCREENSHOTS names a folder, that gets the page at all widths,
// light and dark, to look at.
func screenshot(t *testing.T, tab *tab, name string, width int, scheme string) {
	t.Helper()
	if *writeScreenshots {
		if err := os.WriteFile("../docs/"+name+".png", tab.screenshot(width, scheme), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := os.Getenv("ESIGN_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int{360, width} {
			if err := os.WriteFile(fmt.Sprintf("%s/%s-%s-%d.png", dir, name, scheme, width), tab.screenshot(width, scheme), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A servedSandbox is a sandbox at an address of its own. Orders wait for their signers.
type servedSandbox struct {
	url, issuer string
	server      *sandbox.Server
}

// startSandbox serves a sandbox until the test ends.
func startSandbox(t *testing.T) *servedSandbox {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	s := &servedSandbox{url: "http://" + server.Listener.Addr().String()}
	s.issuer = s.url + "/auth/realms/sandbox"
	var err error
	if s.server, err = sandbox.New(sandbox.Options{Issuer: s.issuer, Manual: true}); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s.server
	server.Start()
	t.Cleanup(func() {
		s.server.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// An application sends its user to sign, and collects the document.
type application struct {
	t       *testing.T
	url     string
	gateway string

	mu       sync.Mutex
	uploaded []byte
	document []byte // that it got last
	signID   string // of its last order
}

// startApplication serves an application until the test ends.
func startApplication(t *testing.T, gateway, bankID string) *application {
	t.Helper()
	app := &application{t: t, gateway: gateway, uploaded: pdftest.Plain("Kontrakt")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, r *http.Request) {
		signID, err := app.order("Kjøpekontrakt for Storgata 1")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, bankID+"/"+r.FormValue("lang")+"/"+signID, http.StatusFound)
	})
	mux.HandleFunc("GET /back", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, app.collect())
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, bankID+"/csc/v2/oauth2/authorize?"+url.Values{
			"client_id": {sandbox.ClientID}, "redirect_uri": {app.url + "/consented"}, "response_type": {"code"}, "state": {"state-of-the-application"},
			"code_challenge": {"d0t_39r1ed9kawFJ_tYOAI78Ih4dUFTHZ8nXFRsgRkk"}, "code_challenge_method": {"S256"},
		}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("GET /consented", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		outcome := r.FormValue("error")
		if r.FormValue("code") != "" {
			outcome = "code"
		}
		fmt.Fprint(w, html.EscapeString(outcome+" "+r.FormValue("state")))
	})
	// The pages of an attacker.
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<iframe src="%s"></iframe>`, html.EscapeString(r.FormValue("page")))
	})
	mux.HandleFunc("GET /form", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<form method="post" action="%s"><button name="decision" value="reject">Win a prize</button></form>`, html.EscapeString(r.FormValue("action")))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	app.url = server.URL
	return app
}

// order creates an order through the gateway.
func (a *application) order(name string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, err := json.Marshal(map[string]any{
		"signProperties":      map[string]any{"orderName": name, "redirectUrl": a.url + "/back?a=%41&b=c#d"},
		"padesSignProperties": map[string]any{"addVisualSeals": false},
		"documents":           []map[string]any{{"description": "Kontrakt", "pdf": a.uploaded}},
	})
	if err != nil {
		return "", err
	}
	res, err := http.Post(a.gateway+"/v1/signdoc/pades", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var created struct {
		SignID string `json:"sign_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&created); err != nil || created.SignID == "" {
		return "", fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	a.signID = created.SignID
	return created.SignID, nil
}

// checkDocument checks that the document is the one that was uploaded, and more.
func (a *application) checkDocument() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !bytes.HasPrefix(a.document, a.uploaded) || len(a.document) == len(a.uploaded) {
		a.t.Errorf("the document has %d bytes, and is not the one that was uploaded, and more", len(a.document))
	}
}

// uploadAgain makes the document that came back the one of the next order.
func (a *application) uploadAgain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uploaded = a.document
}

// state returns what the gateway says of an order.
func (a *application) state(signID string) string {
	res, err := http.Get(a.gateway + "/v1/signdoc/pades?sign_id=" + signID)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return string(text)
}

// collect returns the state of the last order, and downloads the document of one that is
// signed.
func (a *application) collect() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var order struct {
		State   string `json:"orderState"`
		Results []struct {
			PDF []byte `json:"padesSignedPdf"`
		} `json:"signingResults"`
	}
	if err := json.Unmarshal([]byte(a.state(a.signID)), &order); err != nil || order.State != "SIGN_COMPLETED" {
		return order.State
	}
	r, err := http.NewRequest(http.MethodDelete, a.gateway+"/v1/signdoc/pades?sign_id="+a.signID, nil)
	if err != nil {
		return err.Error()
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&order); err != nil || len(order.Results) != 1 {
		return fmt.Sprintf("status %d, %d results, %v", res.StatusCode, len(order.Results), err)
	}
	a.document = order.Results[0].PDF
	return order.State
}
