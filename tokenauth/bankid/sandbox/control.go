package sandbox

import (
	"net/http"
	"slices"
)

// controlPath is where all is that BankID does not have.
const controlPath = "/sandbox/"

// driveOrder plays the signer: it puts an order into another state. BankID has
// no such endpoint, and it asks for no token: whoever reaches it may drive every
// order, so the sandbox has to listen on loopback only.
func (s *Server) driveOrder(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	// A page in the user's browser cannot send this type to another origin
	// unasked.
	if !hasMediaType(r, "application/json") {
		answerJSON(w, http.StatusUnsupportedMediaType, "the body is not application/json")
		return
	}
	signIDs := r.URL.Query()["sign_id"]
	if len(signIDs) != 1 || signIDs[0] == "" {
		answerJSON(w, http.StatusBadRequest, "sign_id must be given once")
		return
	}
	var wanted struct {
		Status string `json:"status"`
	}
	err := decodeSmall(w, r, &wanted)
	states := []string{orderReceived, userSigning, rejected, failed, timedOut, signCompleted}
	switch {
	case isTooLarge(err):
		answerJSON(w, http.StatusRequestEntityTooLarge, "the body is too large")
		return
	case err != nil:
		answerJSON(w, http.StatusBadRequest, "the body is not a JSON object with a status")
		return
	case !slices.Contains(states, wanted.Status):
		answerJSON(w, http.StatusBadRequest, "the status is none that an order can have")
		return
	}
	state, moved, ok := s.orders.drive(signIDs[0], wanted.Status)
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case !moved:
		answerJSON(w, http.StatusConflict, "the order is already "+state)
	default:
		answerJSON(w, http.StatusOK, map[string]string{"sign_id": signIDs[0], "status": state})
	}
}
