package sandbox

import (
	"crypto/rand"
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

	// orderLifetime is how long an order can be collected.
	orderLifetime = 2 * time.Hour
)

// States of an order; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/v1/v1-pades-fields.
const (
	orderReceived = "ORDER_RECEIVED"
	signCompleted = "SIGN_COMPLETED"
)

// orders keeps the open orders of SignDoc and of timestamping.
type orders struct {
	delay time.Duration // until an order is complete

	mu   sync.Mutex
	open *recent[orderID, order]
}

// An orderID names an order within one API: a sign_id of SignDoc is unknown to
// timestamping.
type orderID struct {
	path   string
	signID string
}

type order struct {
	created   time.Time
	documents []document
}

func newOrders(delay time.Duration) *orders {
	return &orders{delay: delay, open: newRecent[orderID, order](orderRoom)}
}

// add opens an order and returns its sign_id.
func (o *orders) add(path string, documents []document) string {
	id := orderID{path: path, signID: "sandbox-" + rand.Text()}
	weight := orderOverhead
	for _, d := range documents {
		weight += len(d.Description) + len(d.PDF)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open.add(id, order{created: time.Now(), documents: documents}, weight)
	return id.signID
}

// status returns the state of an open order.
func (o *orders) status(id orderID) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, state, ok := o.find(id)
	return state, ok
}

// take returns the documents of an order and forgets it if it is complete.
// Otherwise it returns its state alone.
func (o *orders) take(id orderID) (documents []document, state string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, state, ok := o.find(id)
	if !ok || state != signCompleted {
		return nil, state, ok
	}
	o.open.remove(id)
	return found.documents, state, true
}

// find looks for an open order; o.mu is held.
func (o *orders) find(id orderID) (order, string, bool) {
	found, ok := o.open.get(id)
	if !ok {
		return order{}, "", false
	}
	age := time.Since(found.created)
	switch {
	case age >= orderLifetime:
		o.open.remove(id)
		return order{}, "", false
	case age < o.delay:
		return found, orderReceived, true
	default:
		return found, signCompleted, true
	}
}
