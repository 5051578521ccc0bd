package sandbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// controlDigits are the last two digits of a national identity number, from the nine
// before them.
func controlDigits(t *testing.T, digits string) string {
	t.Helper()
	for _, weights := range [][]int{{3, 7, 6, 1, 8, 9, 4, 5, 2}, {5, 4, 3, 2, 7, 6, 5, 4, 3, 2}} {
		sum := 0
		for i, weight := range weights {
			sum += weight * int(digits[i]-'0')
		}
		digit := (11 - sum%11) % 11
		if digit == 10 {
			t.Fatalf("%s cannot have a control digit", digits)
		}
		digits += string(rune('0' + digit))
	}
	return digits[9:]
}

func TestPersonsAreNobody(t *testing.T) {
	persons := sandbox.Persons()
	for i, p := range persons {
		born, err := time.Parse(time.DateOnly, p.BirthDate)
		if err != nil || !strings.HasPrefix(p.Surname, "SANDBOX ") || p.GivenName == "" || len(p.NationalID) != 11 {
			t.Fatalf("%+v: %v", p, err)
		}
		date := fmt.Sprintf("%s%d%s", born.Format("02"), int(born.Month())+80, born.Format("06"))
		if !strings.HasPrefix(p.NationalID, date) {
			t.Errorf("the number of %s begins with %s, want %s", p.GivenName, p.NationalID[:6], date)
		}
		if got, want := p.NationalID[9:], controlDigits(t, p.NationalID[:9]); got != want {
			t.Errorf("the number of %s ends with %s, want %s", p.GivenName, got, want)
		}
		// The third group of digits tells the century: 500 and more is 2000 to 2039.
		if (p.NationalID[6] >= '5') != (born.Year() >= 2000) {
			t.Errorf("%s is of another century than %s", p.NationalID, p.BirthDate)
		}
		for _, other := range persons[:i] {
			if other.NationalID == p.NationalID || other.Name() == p.Name() {
				t.Errorf("%+v and %+v are alike", other, p)
			}
		}
	}
	if len(persons) < 2 {
		t.Error("there is nobody to choose from")
	}
}

// Each person can be found by number, in Go and with the control API.
func TestFindPerson(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	listed := decode[[]sandbox.Person](t, send(t, s, call{method: "GET", target: "/sandbox/persons"}), http.StatusOK)
	if !slices.Equal(listed, sandbox.Persons()) {
		t.Errorf("the list is %+v", listed)
	}
	for _, want := range sandbox.Persons() {
		if got, ok := sandbox.FindPerson(want.NationalID); !ok || got != want {
			t.Errorf("%s is %+v, %t", want.NationalID, got, ok)
		}
	}
	if got, ok := sandbox.FindPerson(""); ok {
		t.Errorf("nobody is %+v", got)
	}
}

// signerOf returns the name and the national identity number in the SignerInfo of an order
// that is complete.
func signerOf(t *testing.T, s http.Handler, id, authorization string) (name, number string) {
	t.Helper()
	answer := decode[orderAnswer](t, send(t, s, call{method: "DELETE", target: "/v1/signdoc/pades?sign_id=" + id, authorization: authorization}), http.StatusOK)
	parsed, err := jwt.ParseSigned(answer.SignerInfo, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var person struct {
		Name string `json:"name"`
		NNIN string `json:"2.16.578.1.61.2.4"`
	}
	if err := parsed.Claims(decode[jose.JSONWebKeySet](t, send(t, s, call{method: "GET", target: "/v1/signdoc/jwks"}), http.StatusOK), &person); err != nil {
		t.Fatal(err)
	}
	return person.Name, person.NNIN
}

func TestEachPersonSigns(t *testing.T) {
	for _, p := range sandbox.Persons() {
		s := newServer(t, sandbox.Options{SigningDelay: time.Hour})
		authorization := bearer(t, s, "esign esign/nnin")
		for name, sign := range map[string]func(id string) error{
			"in Go": func(id string) error { return s.SignOrder(id, p) },
			"at once": func(id string) error {
				return driveBy(t, s, id, `{"status":"SIGN_COMPLETED","signer":"`+p.NationalID+`"}`)
			},
			"chosen before": func(id string) error {
				return errors.Join(driveBy(t, s, id, `{"signer":"`+p.NationalID+`"}`), driveBy(t, s, id, `{"status":"SIGN_COMPLETED"}`))
			},
		} {
			id := opened(t, s, "/v1/signdoc/pades", authorization)
			if err := sign(id); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := s.SignOrder(id, p); err != nil {
				t.Errorf("%s, and again: %v", name, err)
			}
			if got, number := signerOf(t, s, id, authorization); got != p.Name() || number != p.NationalID {
				t.Errorf("%s: %q, %s signed, want %+v", name, got, number, p)
			}
		}
	}
}

// driveBy sends a body to the control API.
func driveBy(t *testing.T, s http.Handler, id, body string) error {
	t.Helper()
	w := send(t, s, call{method: "POST", target: "/sandbox/orders?sign_id=" + id, contentType: jsonType, body: strings.NewReader(body)})
	if w.Code != http.StatusOK {
		return errors.New(w.Body.String())
	}
	return nil
}

func TestRefusalsToSign(t *testing.T) {
	s := newServer(t, sandbox.Options{SigningDelay: time.Hour})
	id := opened(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"))
	kari, ola := sandbox.Persons()[0], sandbox.Persons()[1]
	if err := s.SignOrder("sandbox-other", kari); !errors.Is(err, sandbox.ErrNoOrder) {
		t.Errorf("another order: %v", err)
	}
	stranger := kari
	stranger.GivenName = "Somebody"
	if err := s.SignOrder(id, stranger); !errors.Is(err, sandbox.ErrNoPerson) {
		t.Errorf("a stranger: %v", err)
	}
	if err := driveBy(t, s, id, `{"signer":"12345678901"}`); err == nil || !strings.Contains(err.Error(), "GET /sandbox/persons") {
		t.Errorf("a number of nobody: %v", err)
	}
	if err := s.RejectOrder(id); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"to sign": s.SignOrder(id, ola), "to choose": driveBy(t, s, id, `{"signer":"`+ola.NationalID+`"}`)} {
		if err == nil || !strings.Contains(err.Error(), "already REJECTED") {
			t.Errorf("%s, after a rejection: %v", name, err)
		}
	}
	if state, ok := errors.AsType[*sandbox.OrderStateError](s.SignOrder(id, ola)); !ok || state.State != "REJECTED" {
		t.Errorf("after a rejection: %v", state)
	}
	if err := s.RejectOrder(id); err != nil {
		t.Errorf("a rejection again: %v", err)
	}
}
