package archive

import (
	"context"
	"sync"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

const (
	// leaseTime is the longest time for which pieces stay when one of them is read.
	leaseTime = 5 * time.Minute

	// leaseLimit is how much longer than the download all leases together may last.
	leaseLimit = time.Hour
)

// A lease makes the pieces of a download stay while a caller reads them, although the time of
// the download is over. Find does not return such a download any more.
type lease struct {
	archive *Archive
	sealer  *sealer
	key     download.Key
	name    string
	id      id

	mu      sync.Mutex
	ticket  ticket
	content content
}

// extend says that a piece is being read. If it fails, the next piece tries again.
func (l *lease) extend(ctx context.Context) {
	if !l.mu.TryLock() { // another caller extends it
		return
	}
	defer l.mu.Unlock()
	now := time.Now()
	period := min(leaseTime, l.archive.settings().Keep)
	wanted := now.Add(period)
	if limit := l.content.until().Add(leaseLimit); wanted.After(limit) {
		wanted = limit
	}
	if left := l.ticket.expiry().Sub(now); left <= 0 || left > period/2 || !wanted.After(l.ticket.expiry()) {
		return
	}
	value, err := l.archive.load(ctx, manifestKey(l.name))
	if err != nil {
		return
	}
	present, err := readTicket(value)
	if err != nil || present.ID != l.id { // it was downloaded again
		return
	}
	if present.Expiry < wanted.UnixMilli() { // otherwise another process has extended it
		present.Expiry = wanted.UnixMilli()
		if value, err = l.sealer.sealManifest(l.key, present, l.content); err != nil {
			return
		}
		if err := l.archive.store(ctx, manifestKey(l.name), value); err != nil {
			return
		}
	}
	l.ticket = present
	l.archive.note(l.name, present)
}
