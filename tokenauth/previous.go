package tokenauth

import "time"

// spread is how long a new token may take to be known everywhere: copies and keys
// take time to get there, and clocks differ. So the token before is kept for as long
// as it is valid. It takes the place of a newer one that is refused within that
// time. The newer one is held meanwhile, and used again when the one before has
// expired; if it is refused even then, the one before is sent to its very end, since
// a refusal is the worst that can come of that.
const spread = time.Minute

// replaceLocked puts next in the place of the token in use, which becomes the one
// before.
func (s *Source) replaceLocked(next *Token) {
	last := s.current.Load()
	switch {
	case last == nil:
	case last.secret.Equal(next.secret):
		next.rejected.Store(last.rejected.Load())
	case last.clientID != next.clientID || last.Thumbprint() != next.Thumbprint() || last.rejected.Load():
		s.before = nil // another client's, or of no use
	default:
		s.before = last
	}
	s.newer = nil
	s.current.Store(next)
}

// inUseLocked returns the token in use at now, which may have expired; nil if there
// was none yet. If it is the one before and has expired, the newer one is used again.
func (s *Source) inUseLocked(now instant) *Token {
	token := s.current.Load()
	if s.newer == nil || token.usable(now) {
		return token
	}
	s.advanceLocked()
	s.before = token
	return s.current.Load()
}

// inUse is inUseLocked for callers without the lock.
func (s *Source) inUse(now instant) *Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUseLocked(now)
}

// retreatLocked puts the token before in the place of the present one, which was
// refused, and reports whether there is one that can be used.
func (s *Source) retreatLocked(now instant) bool {
	before := s.before
	s.before = nil // it is a remedy once
	if !before.usable(now) {
		before = before.toTheEnd(now)
	}
	if before == nil || now.since(s.current.Load().obtained) >= spread {
		return false
	}
	s.newer = s.current.Load()
	s.excused = s.newer.young(now)
	s.current.Store(before)
	return true
}

// advanceLocked ends what retreatLocked began.
func (s *Source) advanceLocked() {
	s.current.Store(s.newer)
	s.newer = nil
}

// knownLocked reports whether token is one that this source has, or has had last.
func (s *Source) knownLocked(token *Token) bool {
	for _, known := range []*Token{s.current.Load(), s.newer, s.before} {
		if known != nil && known.secret.Equal(token.secret) {
			return true
		}
	}
	return false
}

// latestLocked returns the newest token, in use or not; nil if there was none yet.
func (s *Source) latestLocked() *Token {
	if s.newer != nil {
		return s.newer
	}
	return s.current.Load()
}
