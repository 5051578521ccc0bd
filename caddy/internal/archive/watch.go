package archive

import (
	"bytes"
	"context"
	"slices"
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
	own     []*newEntry          // what this process writes itself
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
		if e := a.writer(s.name(key)); e != nil {
			w.own = append(w.own, e)
		}
	}
	return w
}

// see looks at the present marks, and returns after which time to look again, since one of
// them may belong to another process that is alive. It returns 0 if none does. It deletes
// those of processes that are gone.
func (w *watch) see(ctx context.Context, marks map[string]mark) (pause time.Duration) {
	for _, e := range w.own {
		// Another process may have begun at the same moment. Then it writes its mark soon.
		pause = max(pause, min(e.yield(ctx, w.begun), pollTime))
	}
	for name, m := range marks {
		i, _ := idOf(m.value)
		if slices.ContainsFunc(w.own, func(e *newEntry) bool { return e.id == i }) {
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
