package tokenauth

import "time"

// spread is how long it may take until every API accepts a new token: copies and keys
// take time to get there, and clocks differ. So the previous token is kept while it is
// valid. If an API refuses a new token within spread, the previous token is used again.
// The new token is kept meanwhile, and used when the previous one has expired. If an API
// refuses it even then, the previous token is sent until it expires, without leeway: the
// worst that can happen is another refusal.
const spread = time.Minute

// replaceLocked puts next into use. The token that was in use becomes the previous one.
func (s *Source) replaceLocked(next *Token) {
	last := s.current.Load()
	switch {
	case last == nil:
	case last.secret.Equal(next.secret):
		next.rejected.Store(last.rejected.Load())
	case last.clientID != next.clientID || last.Thumbprint() != next.Thumbprint() || last.rejected.Load():
		s.previous = nil // last belongs to another client or key, or was rejected
	default:
		s.previous = last
	}
	s.newest = nil
	s.current.Store(next)
}

// inUseLocked returns the token in use at now. It may have expired, and is nil if there
// was no token yet. If the previous token was in use and has expired, the newest token is
// put into use again.
func (s *Source) inUseLocked(now instant) *Token {
	token := s.current.Load()
	if s.newest == nil || token.usable(now) {
		return token
	}
	s.useNewestLocked()
	s.previous = token
	return s.current.Load()
}

// inUse is inUseLocked for callers without the lock.
func (s *Source) inUse(now instant) *Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUseLocked(now)
}

// usePreviousLocked puts the previous token into use instead of the present one, which was
// refused. It returns false if there is no previous token that can be used.
func (s *Source) usePreviousLocked(now instant) bool {
	previous := s.previous
	s.previous = nil // it replaces a refused token only once
	if !previous.usable(now) {
		previous = previous.toTheEnd(now)
	}
	if previous == nil || now.since(s.current.Load().obtained) >= spread {
		return false
	}
	s.newest = s.current.Load()
	s.newestWasYoung = s.newest.young(now)
	s.current.Store(previous)
	return true
}

// useNewestLocked undoes usePreviousLocked: the newest token is in use again. Its renewal is
// scheduled again, since it may have been due meanwhile.
func (s *Source) useNewestLocked() {
	newest := s.newest
	s.newest = nil
	s.current.Store(newest)
	s.scheduleLocked(newest.refreshAt, newest)
}

// knownLocked reports whether token is the present, the newest or the previous token.
func (s *Source) knownLocked(token *Token) bool {
	for _, known := range []*Token{s.current.Load(), s.newest, s.previous} {
		if known != nil && known.secret.Equal(token.secret) {
			return true
		}
	}
	return false
}

// latestLocked returns the newest token, whether or not it is in use. It returns nil if
// there was none yet.
func (s *Source) latestLocked() *Token {
	if s.newest != nil {
		return s.newest
	}
	return s.current.Load()
}
