package tokenauth

// Ready reports whether Token would return a token at once, with all scopes asked
// for as far as the provider says. It counts as use of the token, as Token does, but
// never waits: if there is none, or it is due to be renewed, an attempt starts in the
// background, unless one is held back. So a Source that is asked regularly whether it
// is ready keeps its token renewed, and does not turn out to be unready only because
// nobody called.
func (s *Source) Ready() bool {
	token, state := s.cached(0)
	if state == StateNone {
		s.Warm()
		return false
	}
	return len(s.missing(token)) == 0
}
