package caddyesign

import (
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// drainers drain request bodies in the whole process. Callers that were not admitted
// have a drainer of their own, so that they take no places from the others.
type drainers struct {
	callers, strangers *upload.Drainer
}

// strangerPlaces is how many bodies of callers that were not admitted are drained at a
// time.
const strangerPlaces = 64

// newDrainers returns drainers with their defaults.
func newDrainers() drainers {
	return drainers{callers: new(upload.Drainer), strangers: &upload.Drainer{Places: strangerPlaces}}
}
