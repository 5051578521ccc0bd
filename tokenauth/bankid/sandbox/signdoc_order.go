package sandbox

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// Bounds of what the sandbox keeps.
const (
	// orderRoom is how many bytes of documents all open orders may hold.
	orderRoom = 256 << 20

	// orderOverhead is added to the weight of every order, so that orderRoom
	// also bounds the number of small ones: 4,096.
	orderOverhead = 64 << 10
)

// States of an order; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/v1/v1-pades-fields.
const (
	orderReceived = "ORDER_RECEIVED" // nobody began to sign
	userSigning   = "USER_SIGNING"
	rejected      = "REJECTED"
	failed        = "FAILED"
	timedOut      = "TIMED_OUT" // nobody began to sign in time
	signCompleted = "SIGN_COMPLETED"
)

// orders keeps the open orders of SignDoc and of timestamping.
type orders struct {
	delay     time.Duration // until an order is complete
	retention time.Duration // until it cannot be collected any more

	mu   sync.Mutex
	open *recent[string, *order] // by sign_id
}

// An orderID names an order of one client within one API: a sign_id of SignDoc is unknown
// to timestamping.
type orderID struct {
	path   string
	client string // that created the order; "" if clients share their orders
	signID string
}

type order struct {
	orderRequest

	path    string
	client  string
	created time.Time

	// driven is the state that the control endpoint put it into, if it did;
	// then it does not become complete by itself.
	driven string
}

func newOrders(delay, retention time.Duration) *orders {
	return &orders{delay: delay, retention: retention, open: newRecent[string, *order](orderRoom)}
}

// add opens an order of a client and returns its sign_id.
func (o *orders) add(path, client string, r orderRequest) string {
	signID := "sandbox-" + rand.Text()
	weight := orderOverhead
	for _, d := range r.documents {
		weight += len(d.Description) + len(d.PDF)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open.add(signID, &order{orderRequest: r, path: path, client: client, created: time.Now()}, weight)
	return signID
}

// status tells the state of an open order.
func (o *orders) status(id orderID) (orderStatus, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, status, ok := o.find(id)
	return status, ok
}

// take returns an order and forgets it if it is complete. Otherwise it returns
// its state alone.
func (o *orders) take(id orderID) (*order, orderStatus, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, status, ok := o.find(id)
	if !ok || status.State != signCompleted {
		return nil, status, ok
	}
	o.open.remove(id.signID)
	return found, status, true
}

// drive puts an order into another state, unless it has left that behind, and
// returns its state. It does not matter which API the order is of.
func (o *orders) drive(signID, to string) (state string, moved, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, state, ok := o.lookup(signID)
	if !ok {
		return "", false, false
	}
	before := []string{orderReceived, userSigning} // to the final states
	if to == orderReceived || to == userSigning {
		before = []string{orderReceived}
	}
	if state != to && !slices.Contains(before, state) {
		return state, false, true
	}
	found.driven = to
	return to, true, true
}

// find looks for an open order of one API and client; o.mu is held.
func (o *orders) find(id orderID) (*order, orderStatus, bool) {
	found, state, ok := o.lookup(id.signID)
	if !ok || found.path != id.path || found.client != id.client {
		return nil, orderStatus{}, false
	}
	return found, orderStatus{SignID: id.signID, State: state, Name: found.name}, true
}

// lookup looks for an open order; o.mu is held.
func (o *orders) lookup(signID string) (*order, string, bool) {
	found, ok := o.open.get(signID)
	if !ok {
		return nil, "", false
	}
	age := time.Since(found.created)
	if age >= o.retention {
		o.open.remove(signID)
		return nil, "", false
	}
	return found, found.state(age, o.delay), true
}

// state returns the state of an order of that age.
func (o *order) state(age, delay time.Duration) string {
	switch {
	case o.driven != "" && o.driven != orderReceived:
		return o.driven
	case o.driven == "" && delay < o.timeout && age >= delay:
		return signCompleted
	case age >= o.timeout:
		return timedOut
	default:
		return orderReceived
	}
}
