package sandbox_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

func inject(t testing.TB, s *sandbox.Server, faults ...sandbox.Fault) {
	t.Helper()
	for _, f := range faults {
		if err := s.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
}

// teapot is a fault that cannot be mistaken for another answer.
func teapot(f sandbox.Fault) sandbox.Fault {
	f.Effect, f.Status = sandbox.Status, http.StatusTeapot
	return f
}

func TestFaultMatches(t *testing.T) {
	form := func(id string) call {
		return call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader("grant_type=x&client_id=" + id)}
	}
	s := newServer(t, sandbox.Options{})
	esign := bearer(t, s, "esign esign/csc")
	p := newProver(t)
	bound := "DPoP " + p.bound(t, s, "esign/b2b")
	service := "Bearer " + serviceToken(t, s, "sandbox-match")
	assertion := assert(t, "ES256", newKey(t), "kid", map[string]any{"iss": sandbox.ClientID, "sub": sandbox.ClientID})
	for name, test := range map[string]struct {
		fault sandbox.Fault
		call  call
		met   bool
	}{
		"any":          {sandbox.Fault{}, call{method: "GET", target: "/v1/signdoc/jwks"}, true},
		"path":         {sandbox.Fault{Path: "/csc/v2/info"}, call{method: "POST", target: "/csc/v2/info?x"}, true},
		"other path":   {sandbox.Fault{Path: "/csc/v2/info"}, call{method: "GET", target: "/v1/signdoc/jwks"}, false},
		"method":       {sandbox.Fault{Method: "DELETE"}, call{method: "DELETE", target: "/signdoc/pades"}, true},
		"other method": {sandbox.Fault{Method: "DELETE", Path: "/signdoc/pades"}, call{method: "GET", target: "/signdoc/pades"}, false},
		"no such path": {sandbox.Fault{}, call{method: "GET", target: "/csc/v2"}, false},
		"wrong method": {sandbox.Fault{}, call{method: "GET", target: "/csc/v2/info"}, false},
		"control":      {sandbox.Fault{}, call{method: "GET", target: "/sandbox/faults"}, false},

		"client by form":          {sandbox.Fault{ClientID: sandbox.ClientID}, form(sandbox.ClientID), true},
		"other client by form":    {sandbox.Fault{ClientID: sandbox.B2BClientID}, form(sandbox.ClientID), false},
		"client by secret":        {sandbox.Fault{ClientID: sandbox.B2BClientID}, call{method: "POST", target: tokenPath, authorization: basic(sandbox.B2BClientID, "wrong")}, true},
		"client by assertion":     {sandbox.Fault{ClientID: sandbox.ClientID}, call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader("client_assertion=" + assertion)}, true},
		"client by query":         {sandbox.Fault{ClientID: sandbox.ClientID}, call{method: "GET", target: authorizePath + "?client_id=" + sandbox.ClientID}, true},
		"client by token":         {sandbox.Fault{ClientID: sandbox.ClientID}, call{method: "GET", target: "/signdoc/pades", authorization: esign}, true},
		"other client by token":   {sandbox.Fault{ClientID: sandbox.B2BClientID}, call{method: "GET", target: "/signdoc/pades", authorization: esign}, false},
		"client by bound token":   {sandbox.Fault{ClientID: sandbox.B2BClientID}, call{method: "POST", target: hashPath, authorization: bound}, true},
		"client by service token": {sandbox.Fault{ClientID: sandbox.ClientID}, call{method: "POST", target: credentialsList, authorization: service}, true},
		"client by nothing":       {sandbox.Fault{ClientID: sandbox.ClientID}, call{method: "POST", target: "/csc/v2/info"}, false},
	} {
		s.ClearFaults()
		inject(t, s, teapot(test.fault))
		if w := send(t, s, test.call); (w.Code == http.StatusTeapot) != test.met {
			t.Errorf("%s: status %d, body %q", name, w.Code, w.Body)
		}
	}
}

// What the sandbox reads to know a client is still there for the endpoint.
func TestFaultLeavesTheBody(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	inject(t, s, teapot(sandbox.Fault{ClientID: sandbox.B2BClientID}))
	bearer(t, s, "esign")
	large := call{method: "POST", target: tokenPath, contentType: formType, body: strings.NewReader(strings.Repeat("x", 64<<10+1))}
	decode[map[string]string](t, send(t, s, large), http.StatusBadRequest)
}

func TestFaultCounts(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	inject(t, s,
		teapot(sandbox.Fault{Count: 2, Path: "/csc/v2/info"}),
		sandbox.Fault{Effect: sandbox.Status, Status: 503, Count: 4},
		sandbox.Fault{Effect: sandbox.Status, Status: 429, Path: "/v1/signdoc/jwks"},
	)
	info := call{method: "POST", target: "/csc/v2/info"}
	jwks := call{method: "GET", target: "/v1/signdoc/jwks"}
	for i, want := range []struct {
		call call
		code int
		left int
	}{
		{info, 418, 3}, {info, 418, 2}, {jwks, 503, 2}, {info, 503, 1}, {info, 200, 1}, {jwks, 429, 1}, {jwks, 429, 1},
	} {
		if got := send(t, s, want.call).Code; got != want.code || len(s.Faults()) != want.left {
			t.Errorf("call %d: status %d, want %d; faults %v", i+1, got, want.code, s.Faults())
		}
	}
	s.ClearFaults()
	if got := send(t, s, jwks).Code; got != 200 || len(s.Faults()) != 0 {
		t.Errorf("after clearing: status %d, faults %v", got, s.Faults())
	}
}

func TestFaultRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for want, f := range map[string]sandbox.Fault{
		`effect "" is unknown`:                         {},
		`effect "x" is unknown`:                        {Effect: "x"},
		`client_id is not for effect "rotate_key"`:     {Effect: sandbox.RotateKey, ClientID: sandbox.ClientID},
		`method is not for effect "move_clock"`:        {Effect: sandbox.MoveClock, Method: "GET"},
		`path is not for effect "revoke_tokens"`:       {Effect: sandbox.RevokeTokens, Path: "/csc/v2/info"},
		`count is not for effect "revoke_tokens"`:      {Effect: sandbox.RevokeTokens, Count: 1},
		`late is not for effect "broken_json"`:         {Effect: sandbox.BrokenJSON, Late: true},
		`delay is not for effect "hang"`:               {Effect: sandbox.Hang, Delay: 1},
		`status is not for effect "reset"`:             {Effect: sandbox.Reset, Status: 500},
		`code is not for effect "reset"`:               {Effect: sandbox.Reset, Code: "x"},
		`retry_after is not for effect "delay"`:        {Effect: sandbox.Delay, Delay: 1, RetryAfter: time.Second},
		`offset is not for effect "hang"`:              {Effect: sandbox.Hang, Offset: 1},
		`disable_old is not for effect "hang"`:         {Effect: sandbox.Hang, DisableOld: true},
		`without query`:                                {Effect: sandbox.Hang, Path: "/csc/v2/info?x"},
		`count is negative`:                            {Effect: sandbox.Hang, Count: -1},
		`delay is missing`:                             {Effect: sandbox.Delay},
		`delay is missing or negative`:                 {Effect: sandbox.Delay, Delay: -1},
		`status is not from 400 to 599`:                {Effect: sandbox.Status},
		`is not from 400 to 599`:                       {Effect: sandbox.Status, Status: 600},
		`retry_after is not a number of whole`:         {Effect: sandbox.Status, Status: 429, RetryAfter: time.Millisecond},
		`retry_after is not`:                           {Effect: sandbox.Status, Status: 429, RetryAfter: -time.Second},
		`code has more than 100 characters`:            {Effect: sandbox.Status, Status: 400, Code: strings.Repeat("x", 101)},
		`that no error code may have`:                  {Effect: sandbox.Status, Status: 400, Code: "a\r\nb"},
		`client_id "other" is unknown`:                 {Effect: sandbox.Hang, ClientID: "other"},
		`path "/x" is unknown`:                         {Effect: sandbox.Hang, Path: "/x"},
		`path "/sandbox/faults" is unknown`:            {Effect: sandbox.Hang, Path: "/sandbox/faults"},
		`no call is GET /csc/v2/info`:                  {Effect: sandbox.Hang, Path: "/csc/v2/info", Method: "GET"},
		`no call is PATCH, or`:                         {Effect: sandbox.Hang, Method: "PATCH"},
		`path "/csc/v2/info" is unknown, or the effec`: {Effect: sandbox.DemandNonce, Path: "/csc/v2/info"},
	} {
		if err := s.Inject(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	if got := s.Faults(); len(got) != 0 {
		t.Errorf("faults %v", got)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	hang := sandbox.Fault{Effect: sandbox.Hang}
	inject(t, s, slices.Repeat([]sandbox.Fault{hang}, 100)...)
	if err := s.Inject(hang); err == nil || !strings.Contains(err.Error(), "100 already") {
		t.Errorf("one more: %v", err)
	}
	inject(t, s, sandbox.Fault{Effect: sandbox.RevokeTokens}) // takes no room
}

func TestFaultsAreListed(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	want := []sandbox.Fault{
		{Effect: sandbox.Delay, Delay: time.Second, Count: 3},
		teapot(sandbox.Fault{ClientID: sandbox.ClientID}),
		{Effect: sandbox.MoveClock, Offset: -time.Minute},
	}
	inject(t, s, want[2], sandbox.Fault{Effect: sandbox.RotateKey}, want[0], want[1], sandbox.Fault{Effect: sandbox.RevokeTokens})
	if got := s.Faults(); !slices.Equal(got, want) {
		t.Errorf("faults %+v", got)
	}
}

// A count holds however many ask at once.
func TestOneOfManyMeetsAFault(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	inject(t, s, teapot(sandbox.Fault{Count: 3}))
	var group sync.WaitGroup
	var met atomic.Int32
	for range 20 {
		group.Go(func() {
			if send(t, s, call{method: "POST", target: "/csc/v2/info"}).Code == http.StatusTeapot {
				met.Add(1)
			}
		})
	}
	group.Wait()
	if got := met.Load(); got != 3 {
		t.Errorf("%d calls met the fault", got)
	}
}
