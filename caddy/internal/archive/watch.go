package archive

import (
	"bytes"
	"context"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// A mark is what a process that downloads something has written last.
type mark struct {
	name  string
	value []byte
}

// A watch looks at marks for one call of Find.
type watch struct {
	archive *Archive
	begun   time.Time
	names   []string             // of the download, by sealer
	seen    map[string]*sighting // by name
}

// A sighting is when a mark was seen with its present value for the first time.
type sighting struct {
	mark mark
	at   time.Time
}

// newWatch returns a watch for the download at key.
func newWatch(a *Archive, key download.Key, sealers []*sealer) *watch {
	w := &watch{archive: a, begun: time.Now(), seen: make(map[string]*sighting)}
	for _, s := range sealers {
		w.names = append(w.names, s.name(key))
	}
	return w
}

// see looks at the present marks, and returns after which time to look again, since one of
// them may belong to another process that is alive. It returns 0 if none does. It deletes
// those of processes that are gone.
func (w *watch) see(ctx context.Context, marks map[string]mark) (pause time.Duration) {
	own := make(map[id]bool)
	for _, name := range w.names {
		e := w.archive.writer(name) // it may have come since the last look
		if e == nil {
			continue
		}
		own[e.id] = true
		// Another process may have begun at the same moment. Then it writes its mark soon.
		pause = max(pause, min(e.yield(ctx, w.begun), pollTime))
	}
	for name, m := range marks {
		if i, ok := idOf(m.value); ok && own[i] || w.archive.hasEnded(m) {
			continue
		}
		s := w.seen[name]
		switch {
		case s == nil || !bytes.Equal(s.mark.value, m.value):
			w.seen[name] = &sighting{m, time.Now()}
			pause = pollTime
		case time.Since(s.at) < staleTime:
			pause = pollTime
		default:
			w.archive.lost(ctx, m)
			delete(w.seen, name)
		}
	}
	for name := range w.seen {
		if _, ok := marks[name]; !ok {
			delete(w.seen, name)
		}
	}
	return pause
}

// blind says that nothing is known of the marks at present. So they have not been seen
// unchanged for a time.
func (w *watch) blind() {
	for _, s := range w.seen {
		s.at = time.Now()
	}
}
