package sandbox

import (
	"crypto/sha256"
	"sync"
)

// singleUseRoom is how many used values are remembered.
const singleUseRoom = 10_000

// singleUse remembers what must not be used twice, until it could not be used
// anyway. It is safe for concurrent use.
type singleUse struct {
	mu   sync.Mutex
	used *recent[[sha256.Size]byte, int64] // by hash: values have any length
}

func newSingleUse() *singleUse {
	return &singleUse{used: newRecent[[sha256.Size]byte, int64](singleUseRoom)}
}

// use reports whether value is used for the first time at the Unix second now.
// It is remembered up to and including the second last.
func (s *singleUse) use(value string, now, last int64) bool {
	hash := sha256.Sum256([]byte(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, found := s.used.get(hash); found {
		if now <= until {
			return false
		}
		s.used.remove(hash)
	}
	s.used.add(hash, last, 1)
	return true
}
