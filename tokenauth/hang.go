package tokenauth

import (
	"fmt"
	"sync"
	"time"
)

// lostAfter is how long a call that hangs counts as under way. The cause may be repaired by
// then, and new calls must be possible.
const lostAfter = 10 * time.Minute

// places limit how many calls run at once of functions that may hang, such as those of a
// broken file system. A call that hangs keeps its goroutine, which cannot be ended, so
// without a limit they would pile up.
type places chan struct{} // full if too many are under way

// start calls f in the background, in a place that its caller has taken by sending to p. It
// returns a channel that gives the error of f once. subject is for the error if f panics.
// f may still run when its caller does not wait any more. So it must not write to variables
// that the caller uses then.
func (p places) start(subject string, f func() error) <-chan error {
	result := make(chan error, 1)
	free := sync.OnceFunc(func() { <-p })
	lost := time.AfterFunc(lostAfter, free)
	go func() { // ends when f returns
		err := guarded(subject, f)
		lost.Stop()
		free()
		result <- err
	}()
	return result
}

// guarded calls f. If f panics, guarded returns an error, since a panic would end the
// process. The error does not repeat the panic's value, which may hold anything.
func guarded(subject string, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%s panicked", subject)
		}
	}()
	return f()
}
