package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// controlPath is where all is that BankID does not have.
const controlPath = "/sandbox/"

// driveOrder plays the signer: it puts an order into another state, chooses who signs it,
// or both. BankID has no such endpoint, and it asks for no token: any client that reaches
// it may drive every order, so the sandbox has to listen on loopback only.
func (s *Server) driveOrder(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var wanted struct {
		Status string `json:"status"`
		Signer string `json:"signer"` // national identity number
	}
	if !readControl(w, r, &wanted) {
		return
	}
	signIDs := r.URL.Query()["sign_id"]
	if len(signIDs) != 1 || signIDs[0] == "" {
		respondJSON(w, http.StatusBadRequest, "sign_id must be given once, in the query")
		return
	}
	states := []string{orderReceived, userSigning, rejected, failed, timedOut, signCompleted}
	if !slices.Contains(states, wanted.Status) && (wanted.Status != "" || wanted.Signer == "") {
		respondJSON(w, http.StatusBadRequest, fmt.Sprintf("status %q is not one of %s", abridged(wanted.Status), strings.Join(states, ", ")))
		return
	}
	var signer *Person
	if wanted.Signer != "" {
		person, ok := FindPerson(wanted.Signer)
		if !ok {
			respondJSON(w, http.StatusBadRequest, fmt.Sprintf("signer %q is not a national_id of GET %s", abridged(wanted.Signer), personsPath))
			return
		}
		signer = &person
	}
	order, err := s.orders.drive(signIDs[0], wanted.Status, signer)
	switch {
	case errors.Is(err, ErrNoOrder):
		respondJSON(w, http.StatusNotFound, err.Error())
	case err != nil:
		respondJSON(w, http.StatusConflict, err.Error())
	default:
		respondJSON(w, http.StatusOK, order)
	}
}

// readControl reads the body of a request to one of the sandbox's own paths, and
// reports whether it could. If not, it has responded why.
// The body is JSON, or of another media type.
func readControl(w http.ResponseWriter, r *http.Request, into any, others ...string) bool {
	// A page in the user's browser cannot send these types to another origin
	// unasked.
	if !slices.ContainsFunc(append(others, "application/json"), func(mediaType string) bool { return hasMediaType(r, mediaType) }) {
		respondJSON(w, http.StatusUnsupportedMediaType, "the body must be JSON: send Content-Type: application/json")
		return false
	}
	switch err := decodeSmall(w, r, into); {
	case err == nil:
		return true
	case isTooLarge(err):
		respondJSON(w, http.StatusRequestEntityTooLarge, "the body is too large")
	default:
		respondJSON(w, http.StatusBadRequest, abridged(mistake(err)))
	}
	return false
}

// mistake says why a body could not be decoded.
func mistake(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the body is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the body ends too early"
	}
	return jsonFault(err, "the body cannot be read: "+err.Error())
}
