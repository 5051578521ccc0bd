package archive

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"
)

// maxSealers is how many secrets are used, former ones included.
const maxSealers = 8

// secrets are the sealing secrets that were in use. A former secret goes on opening what
// it has sealed, for as long as that is kept.
type secrets struct {
	mu      sync.Mutex
	sealers []*knownSealer // the newest first
}

// A knownSealer is a sealer with the hash of its secret.
type knownSealer struct {
	*sealer
	secret  [sha256.Size]byte
	retired time.Time // zero while the secret is in use
}

// errNoSecret is the error if there is no sealing secret.
var errNoSecret = errors.New("there is no sealing secret")

// use says that these secrets are in use, and returns their sealers and those of former
// secrets. The first one seals.
func (s *secrets) use(values [][]byte, keep time.Duration) ([]*sealer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var sealers []*knownSealer
	for _, value := range values {
		hash := sha256.Sum256(value)
		has := func(k *knownSealer) bool { return k.secret == hash }
		if slices.ContainsFunc(sealers, has) {
			continue
		}
		if n := slices.IndexFunc(s.sealers, has); n >= 0 {
			s.sealers[n].retired = time.Time{}
			sealers = append(sealers, s.sealers[n])
			continue
		}
		sealer, err := newSealer(value)
		if err != nil {
			return nil, err
		}
		sealers = append(sealers, &knownSealer{sealer: sealer, secret: hash})
	}
	if len(sealers) > 0 {
		for _, former := range s.sealers {
			if slices.Contains(sealers, former) {
				continue
			}
			if former.retired.IsZero() {
				former.retired = now
			}
			if now.Sub(former.retired) <= keep {
				sealers = append(sealers, former)
			}
		}
		s.sealers = sealers[:min(len(sealers), maxSealers)]
	}
	if len(s.sealers) == 0 {
		return nil, errNoSecret
	}
	known := make([]*sealer, len(s.sealers))
	for n, k := range s.sealers {
		known[n] = k.sealer
	}
	return known, nil
}
