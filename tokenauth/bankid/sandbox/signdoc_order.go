package sandbox

import (
	"crypto/rand"
	"errors"
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

	// driven is the state that somebody put it into, if somebody did; then it does not
	// become complete by itself.
	driven string

	// signer signs it, or signed it.
	signer Person
}

// ErrNoOrder says that there is no order with a sign_id, or no longer.
var ErrNoOrder = errors.New("there is no order with this sign_id, or no longer")

// ErrNoPerson says that somebody is not one of [Persons].
var ErrNoPerson = errors.New("there is no such person")

// An OrderStateError says that an order is past the state that it was to have, or that it
// has ended.
type OrderStateError struct {
	State string // that the order has, such as REJECTED
}

func (e *OrderStateError) Error() string { return "the order is already " + e.State }

// SignOrder lets a person sign an open order of SignDoc: it becomes SIGN_COMPLETED. An
// order that the person has signed stays as it is. The person is one of [Persons],
// otherwise the error is [ErrNoPerson]. The other errors are [ErrNoOrder] and
// [*OrderStateError].
func (s *Server) SignOrder(signID string, signer Person) error {
	_, err := s.orders.drive(signID, signCompleted, &signer)
	return err
}

// RejectOrder lets the signer of an open order reject it: it becomes REJECTED. The errors
// are [ErrNoOrder] and [*OrderStateError].
func (s *Server) RejectOrder(signID string) error {
	_, err := s.orders.drive(signID, rejected, nil)
	return err
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
	o.open.add(signID, &order{orderRequest: r, path: path, client: client, created: time.Now(), signer: Persons()[0]}, weight)
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

// drive puts an order into another state, unless it has left that behind, and chooses who
// signs it. If to is "", it keeps its state; if signer is nil, it keeps its signer. It
// does not matter which API the order is of. The errors are those of [Server.SignOrder].
func (o *orders) drive(signID, to string, signer *Person) (drivenOrder, error) {
	if signer != nil && !slices.Contains(Persons(), *signer) {
		return drivenOrder{}, ErrNoPerson
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	found, state, ok := o.lookup(signID)
	if !ok {
		return drivenOrder{}, ErrNoOrder
	}
	before := []string{orderReceived, userSigning}
	if to == orderReceived {
		before = []string{orderReceived}
	}
	changes := signer != nil && *signer != found.signer
	if (to != "" && to != state || changes) && !slices.Contains(before, state) {
		return drivenOrder{}, &OrderStateError{State: state}
	}
	if to != "" {
		found.driven, state = to, to
	}
	if signer != nil {
		found.signer = *signer
	}
	return drivenOrder{SignID: signID, State: state, Signer: found.signer.NationalID}, nil
}

// A drivenOrder is what became of an order.
type drivenOrder struct {
	SignID string `json:"sign_id"`
	State  string `json:"status"`
	Signer string `json:"signer"` // national identity number
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
