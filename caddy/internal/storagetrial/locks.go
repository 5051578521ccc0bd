package storagetrial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// holdTime is how long a lock is held to see whether another instance waits for it,
	// in addition to the time that locking takes.
	holdTime = 500 * time.Millisecond

	// returnLimit is how long a Lock may take to return after its context has ended.
	returnLimit = 3 * time.Second

	// lockLimit is how long Lock may take if nobody holds the lock. For Lock and Unlock,
	// more than slowLock is slow.
	lockLimit = 20 * time.Second
	slowLock  = 500 * time.Millisecond

	// passLimit is how long it may take to get a lock that was released. More than
	// slowPass is slow. Storages poll locks, every second or so.
	passLimit = 20 * time.Second
	slowPass  = 3 * time.Second

	// retry is the pause before a lock that was refused is asked for again.
	retry = 500 * time.Millisecond

	// attemptTime is the longest time for which a server holds a lock, with the default
	// timeout. waitTime is the shortest time for which others wait for it.
	attemptTime = 20 * time.Second
	waitTime    = 20 * time.Second

	// startLimit is how long another process may take to get a lock. deadLimit is how
	// long the trial waits for the lock of a killed process.
	startLimit = 30 * time.Second
	deadLimit  = 90 * time.Second
)

// wait begins to lock. The returned channel gets the result.
func wait(ctx context.Context, s Storage, name string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if v := recover(); v != nil {
				err = &panicError{v}
			}
			ended <- err
		}()
		err = s.Lock(ctx, name)
	}()
	return ended
}

// forgo releases a lock that comes too late, if it ever comes.
func forgo(ended <-chan error, s Storage, name string) {
	go func() {
		if err := <-ended; err == nil {
			_ = do(context.Background(), func(ctx context.Context) error { return s.Unlock(ctx, name) })
		}
	}()
}

// obtain tries to get a lock until it has it or ctx ends. After a refusal it asks
// again. The error is the last one.
func (r *run) obtain(ctx context.Context, s Storage, name string) error {
	last := errSilent
	for {
		ended := wait(ctx, s, name)
		select {
		case err := <-ended:
			if err == nil {
				r.holds(s, name)
				return nil
			}
			if fatal(err) {
				return err
			}
			if ctx.Err() == nil {
				last = err
			}
		case <-ctx.Done():
			forgo(ended, s, name)
			return last
		}
		if !pause(ctx, retry) {
			return last
		}
	}
}

// holds records that a lock is held.
func (r *run) holds(s Storage, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[name] = s
}

// lock gets a lock that nobody else holds.
func (r *run) lock(ctx context.Context, s Storage, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	ended := wait(ctx, s, name)
	select {
	case err := <-ended:
		if err == nil {
			r.holds(s, name)
		}
		if err != nil && !fatal(err) && ctx.Err() != nil {
			return errSilent
		}
		return err
	case <-ctx.Done():
		forgo(ended, s, name)
		return errSilent
	}
}

// unlock releases a lock. It ignores an error if Unlock is known to release locks
// anyway.
func (r *run) unlock(ctx context.Context, s Storage, name string) error {
	_, err := call(ctx, lockLimit, func(ctx context.Context) (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return struct{}{}, s.Unlock(ctx, name)
	})
	if r.freesAnyway && !fatal(err) {
		err = nil
	}
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.held, name)
	}
	return err
}

// noLocks returns the finding that two hold one lock.
func noLocks(who string) Finding {
	return Finding{
		Result: Fail, Text: "a lock is granted to " + who + " while it is held: the storage does not lock",
		Hint: "each gateway asks for its own tokens", end: true,
	}
}

// unobtainable is the finding if a lock that nobody holds could not be obtained.
func (r *run) unobtainable(ctx context.Context, err error) Finding {
	what := "a free lock cannot be obtained"
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		what += fmt.Sprintf(" within %v", lockLimit)
	}
	return r.failed(what, err)
}

// freeLock measures how long each instance takes to get a lock that nobody holds, and
// to release it.
func (r *run) freeLock(ctx context.Context) Finding {
	name, instances := r.key("free"), []Storage{r.First, r.Second}
	var unlocking time.Duration
	var unlockErr error
	for n, s := range instances {
		start := time.Now()
		if err := r.lock(ctx, s, name); err != nil {
			return r.unobtainable(ctx, err)
		}
		r.locking = max(r.locking, time.Since(start))
		start = time.Now()
		err := r.unlock(ctx, s, name)
		unlocking = max(unlocking, time.Since(start))
		if err == nil {
			continue
		}
		if fatal(err) || !r.hadAgain(ctx, instances[1-n], name) {
			return r.failed("a lock cannot be released", err)
		}
		unlockErr = err
	}
	f := Finding{Result: OK, Text: "a free lock is obtained after " + shown(r.locking) + ", and released after " + shown(unlocking)}
	var hints []string
	if r.locking > slowLock {
		hints = append(hints, "a call without a usable token waits for the lock, for 20 to 30 seconds at most: the gateway cannot know that nobody holds it")
	}
	if unlocking > slowLock {
		hints = append(hints, "a gateway whose predecessor failed waits that much longer for its turn to ask for a token")
	}
	if unlockErr != nil {
		f.Text += ", although Unlock returns an error: " + r.show(unlockErr)
		hints = append(hints, "gateways try again to release it, which may release it for its next holder: then two gateways ask for a token")
	}
	if hints != nil {
		f.Result, f.costs, f.Hint = Warn, true, strings.Join(hints, "; ")
	}
	return f
}

// hadAgain reports whether another instance can get a lock whose Unlock has returned an
// error. It releases the lock.
func (r *run) hadAgain(ctx context.Context, s Storage, name string) bool {
	limited, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	if r.obtain(limited, s, name) != nil {
		return false
	}
	r.freesAnyway = true
	return r.unlock(ctx, s, name) == nil
}

// locks tests whether another instance waits for a lock, and gets it when it is
// released.
func (r *run) locks(ctx context.Context) Finding {
	name, start := r.key("lock"), time.Now()
	if err := r.lock(ctx, r.First, name); err != nil {
		return r.unobtainable(ctx, err)
	}
	hold := holdTime + 2*max(r.locking, time.Since(start))
	ended := wait(ctx, r.Second, name)
	select {
	case err := <-ended:
		if fatal(err) {
			return r.failed("locking what another instance holds", err)
		}
		if err == nil {
			_ = r.unlock(ctx, r.Second, name)
			return noLocks("another instance")
		}
		return r.refusing(ctx, name, err)
	case <-time.After(hold):
	case <-ctx.Done():
		forgo(ended, r.Second, name)
		return r.failed("locking what another instance holds", errSilent)
	}
	if err := r.unlock(ctx, r.First, name); err != nil {
		forgo(ended, r.Second, name)
		return r.failed("a lock cannot be released", err)
	}
	start = time.Now()
	select {
	case err := <-ended:
		if fatal(err) {
			return r.failed("waiting for a lock", err)
		}
		if err != nil { // some storages give up after a time
			return r.refusing(ctx, name, err)
		}
	case <-time.After(passLimit):
		forgo(ended, r.Second, name)
		return r.failed(fmt.Sprintf("an instance that waits does not get a lock within %v of its release", passLimit), errSilent)
	}
	took := time.Since(start)
	r.holds(r.Second, name)
	if err := r.unlock(ctx, r.Second, name); err != nil {
		return r.failed("a lock cannot be released by the instance that waited for it", err)
	}
	f := Finding{Result: OK, Text: "another instance waits for a lock, and gets it " + shown(took) + " after its release"}
	if took > slowPass {
		f.Result, f.costs, f.Hint = Warn, true, "gateways find each other's tokens meanwhile, so only a gateway whose predecessor failed waits for the lock"
	}
	return f
}

// refusing returns the finding for a storage that refuses a held lock instead of
// waiting. It tests whether the lock can be obtained once it is released.
func (r *run) refusing(ctx context.Context, name string, refusal error) Finding {
	if err := r.unlock(ctx, r.First, name); err != nil {
		r.mu.Lock()
		_, held := r.held[name]
		r.mu.Unlock()
		if held {
			return r.failed("a lock cannot be released", err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	if err := r.obtain(limited, r.Second, name); err != nil {
		return r.failed(fmt.Sprintf("a lock cannot be obtained within %v of its release", passLimit), err)
	}
	if err := r.unlock(ctx, r.Second, name); err != nil {
		return r.failed("a lock cannot be released", err)
	}
	return Finding{
		Result: Warn, costs: true, Text: "Lock returns an error while the lock is held, instead of waiting: " + r.show(refusal),
		Hint: "gateways that start together look for the first one's token for three seconds, and then each asks for its own",
	}
}

// endedWaiting tests whether a Lock ends with its context.
func (r *run) endedWaiting(ctx context.Context) Finding {
	name, start := r.key("waiting"), time.Now()
	if err := r.lock(ctx, r.First, name); err != nil {
		return r.unobtainable(ctx, err)
	}
	defer func() { _ = r.unlock(context.WithoutCancel(ctx), r.First, name) }()
	waiting, cancel := context.WithTimeout(ctx, holdTime+2*max(r.locking, time.Since(start)))
	defer cancel()
	ended := wait(waiting, r.Second, name)
	select {
	case err := <-ended:
		switch {
		case fatal(err):
			return r.failed("locking what another instance holds", err)
		case err == nil:
			_ = r.unlock(ctx, r.Second, name)
			return noLocks("another instance")
		}
		return Finding{Result: OK, Text: "no instance waits for a lock"}
	case <-waiting.Done():
	}
	if ctx.Err() != nil { // the trial ended, not the wait
		return r.failed("locking what another instance holds", errSilent)
	}
	since := time.Now()
	select {
	case err := <-ended:
		if err == nil {
			_ = r.unlock(ctx, r.Second, name)
			return noLocks("another instance")
		}
		if fatal(err) {
			return r.failed("Lock with an ended context", err)
		}
		return Finding{Result: OK, Text: "Lock returns " + shown(time.Since(since)) + " after its context has ended"}
	case <-time.After(returnLimit):
		forgo(ended, r.Second, name)
		return Finding{
			Result: Warn, Text: fmt.Sprintf("Lock does not return within %v after its context has ended", returnLimit),
			Hint: "a gateway that gets its token in another way leaves that call waiting in the background, at most one for each set of scopes",
		}
	}
}

// oneName tests whether a lock and an entry can have the same name.
func (r *run) oneName(ctx context.Context) Finding {
	key, value := r.key("name"), newValue(valueSize)
	if err := r.lock(ctx, r.First, key); err != nil {
		return r.unobtainable(ctx, err)
	}
	err := r.store(ctx, r.Second, key, value)
	if err == nil {
		_, err = r.settle(ctx, r.First, key, value, nil)
	}
	if unlockErr := r.unlock(ctx, r.First, key); err == nil {
		err = unlockErr
	}
	if err == nil {
		_, err = r.settle(ctx, r.Second, key, value, nil)
	}
	switch {
	case err == nil:
		return Finding{Result: OK, Text: "a lock and an entry can have the same name"}
	case fatal(err):
		return r.failed("a lock and an entry with the same name", err)
	}
	if _, ok := errors.AsType[*mismatchError](err); !ok {
		err = errors.New(r.show(err))
	}
	return Finding{Result: OK, Text: "a lock and an entry cannot have the same name (" + err.Error() + "); those of gateways have different names"}
}

// holders tests what becomes of the locks of a living process and of a dead one. It
// tests both at the same time, since both take long.
func (r *run) holders(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, startLimit+deadLimit)
	defer cancel()
	if r.Progress != nil {
		r.Progress(fmt.Sprintf("holding a lock for %v, and waiting for the lock of a killed process, for %v at most", attemptTime, deadLimit))
	}
	living := make(chan Finding, 1)
	go func() {
		f := r.livingHolder(ctx)
		f.Name = "living holder"
		living <- f
	}()
	dead := r.deadHolder(ctx)
	dead.Name = "dead holder"
	r.report.Findings = append(r.report.Findings, <-living, dead)
}

// livingHolder tests whether a lock is kept for as long as a server may need it.
func (r *run) livingHolder(ctx context.Context) Finding {
	name := r.key("living")
	if err := r.lock(ctx, r.First, name); err != nil {
		return r.unobtainable(ctx, err)
	}
	start := time.Now()
	waiting, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	err := r.obtain(waiting, r.Second, name)
	held := time.Since(start)
	unlockErr := r.unlock(context.WithoutCancel(ctx), r.First, name)
	switch {
	case err == nil:
		_ = r.unlock(context.WithoutCancel(ctx), r.Second, name)
		return Finding{
			Result: Warn, costs: true, Text: "a lock is granted to another instance after " + shown(held) + ", although its holder is running",
			Hint: "while BankID OIDC responds slowly, each gateway asks for its own token",
		}
	case ctx.Err() != nil || (fatal(err) && !errors.Is(err, errSilent)):
		return r.failed("locking what another instance holds", err)
	case unlockErr != nil: // if the lock was kept, it can be released, but not if the storage has gone away
		return r.failed("a lock that was held for "+shown(held)+" cannot be released", unlockErr)
	}
	return Finding{Result: OK, Text: "a lock is kept for " + shown(held) + " while its holder is running"}
}

// deadHolder tests for how long a lock is kept after its process has died.
func (r *run) deadHolder(ctx context.Context) Finding {
	name := r.key("dead")
	holding, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(startLimit, cancel)
	kill, err := r.Hold(holding, name)
	late.Stop()
	if err != nil {
		return Finding{Result: Warn, Text: "not tried: another process could not take a lock: " + r.show(err)}
	}
	defer kill()
	r.holds(r.First, name) // clean must release it: nobody else will
	short, cancel := context.WithTimeout(ctx, holdTime+2*r.locking)
	defer cancel()
	if err := r.obtain(short, r.Second, name); err == nil {
		_ = r.unlock(ctx, r.Second, name)
		return noLocks("another process")
	}
	kill()
	start := time.Now()
	long, cancel := context.WithTimeout(ctx, deadLimit)
	defer cancel()
	err = r.obtain(long, r.Second, name)
	took := time.Since(start)
	switch {
	case ctx.Err() != nil || (fatal(err) && !errors.Is(err, errSilent)):
		return r.failed("waiting for the lock of a killed process", err)
	case err != nil:
		return Finding{
			Result: Warn, costs: true, Text: "a lock cannot be obtained " + shown(took) + " after its holder was killed: " + r.show(err),
			Hint: "gateways wait 20 to 30 seconds for it, and then each asks for its own token",
		}
	}
	r.report.DeadHolder = took
	_ = r.unlock(ctx, r.Second, name)
	f := Finding{Result: OK, Text: "a lock is released " + shown(took) + " after its holder was killed"}
	if took > waitTime {
		f.Result, f.costs, f.Hint = Warn, true, "gateways wait 20 to 30 seconds for it, and then each asks for its own token"
	}
	return f
}
