package archive

import (
	"bytes"
	"context"
	"time"
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
	seen    map[string]*sighting // by name
}

// A sighting is when a mark was seen with its present value for the first time.
type sighting struct {
	mark mark
	at   time.Time
}

// newWatch returns a watch.
func newWatch(a *Archive) *watch {
	return &watch{archive: a, begun: time.Now(), seen: make(map[string]*sighting)}
}

// see looks at the present marks, and reports whether one of them may belong to another
// process that is alive. It deletes those of processes that are gone.
func (w *watch) see(ctx context.Context, marks map[string]mark) bool {
	alive := false
	for name, m := range marks {
		s := w.seen[name]
		switch {
		case w.archive.yields(m):
			// Another process may have begun at the same moment. Then it writes its mark soon.
			alive = alive || time.Since(w.begun) < refreshTime+pollTime
		case s == nil || !bytes.Equal(s.mark.value, m.value):
			w.seen[name] = &sighting{m, time.Now()}
			alive = true
		case time.Since(s.at) < staleTime:
			alive = true
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
	return alive
}

// blind says that nothing is known of the marks at present. So they have not been seen
// unchanged for a time.
func (w *watch) blind() {
	for _, s := range w.seen {
		s.at = time.Now()
	}
}
