package tokenauth

// Ready reports whether Token would return a token at once, and whether that token has
// all scopes asked for, as far as the provider said. It never waits. It counts as use of
// the token, as Token does: if there is no token, or it is due to be renewed, an attempt
// starts in the background, unless attempts are held back. So if a health check calls
// Ready regularly, the Source keeps its token renewed even without other callers.
func (s *Source) Ready() bool {
	token, state := s.Cached(0)
	if state == StateNone {
		s.Warm()
		return false
	}
	return len(s.missing(token)) == 0
}
