package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
)

// personsPath is where the persons are listed.
const personsPath = controlPath + "persons"

// A Person can sign. Every person is invented.
type Person struct {
	GivenName string `json:"given_name"`
	Surname   string `json:"surname"`    // it says SANDBOX
	BirthDate string `json:"birth_date"` // YYYY-MM-DD

	// NationalID is the national identity number: eleven digits. Its month is 80 too
	// high, as in the test data of the tax administration, so that it is nobody's; see
	// https://www.skatteetaten.no/skjema/testdata/.
	NationalID string `json:"national_id"`
}

// Persons lists all who can sign. The first of them signs where nobody is chosen.
func Persons() []Person {
	return []Person{
		{"Kari", "SANDBOX Nordmann", "1985-03-14", "14838510036"},
		{"Ola", "SANDBOX Hansen", "1970-01-01", "01817010136"},
		{"Bjørg Åse", "SANDBOX Ødegård", "1948-11-30", "30914810201"},
		{"Áilu", "SANDBOX Čáhcesuolu", "2004-02-29", "29820490159"},
		{"Jean-Luc", "SANDBOX d'Étoile", "1999-12-31", "31929930137"},
	}
}

// FindPerson returns the person with a national identity number, and whether there is
// one.
func FindPerson(nationalID string) (Person, bool) {
	persons := Persons()
	i := slices.IndexFunc(persons, func(p Person) bool { return p.NationalID == nationalID })
	if i < 0 {
		return Person{}, false
	}
	return persons[i], true
}

// Name is the full name.
func (p Person) Name() string { return p.GivenName + " " + p.Surname }

// serialNumber identifies the person in certificates, without the national identity
// number. It has the form of the example in
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/jwks-api.
func (p Person) serialNumber() string {
	hash := sha256.Sum256([]byte("serial number " + p.NationalID))
	return "UN:NO-9999-5100-" + base64.RawURLEncoding.EncodeToString(hash[:16])
}

// pid is BankID's own number of the person, in the form of the same example. No bank has
// the number 9999.
func (p Person) pid() string {
	return "UN:NO-9999-6000-4-" + p.BirthDate[2:4] + p.BirthDate[5:7] + p.BirthDate[8:]
}

// persons lists the persons, for programs that choose one in a body of POST
// /sandbox/orders. BankID has no such endpoint.
func (s *Server) persons(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	respondJSON(w, http.StatusOK, Persons())
}
