package sandbox

import (
	"crypto/x509"
	"maps"
	"slices"
)

// Endpoints lists all paths with the methods they take, in a fixed order.
func (s *Server) Endpoints() (paths []string, methods map[string][]string) {
	methods = make(map[string][]string)
	for path, handlers := range s.endpoint {
		methods[path] = slices.Sorted(maps.Keys(handlers))
	}
	return slices.Sorted(maps.Keys(methods)), methods
}

// SignAs signs a hash as a person, and returns the signature, the certificate, and what
// shows that it is good.
func (s *Server) SignAs(p Person, hash []byte) (cms []byte, certificate *x509.Certificate, ocsp []byte, crls [][]byte, err error) {
	c, err := s.ca.newCredential(p, false)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if cms, err = c.cms(hash); err != nil {
		return nil, nil, nil, nil, err
	}
	ocsp, crls, err = s.ca.revocation(c.chain[0])
	return cms, c.chain[0], ocsp, crls, err
}

// Stamp returns a time-stamp token for a hash.
func (s *Server) Stamp(hash []byte) ([]byte, error) { return s.tsa.token(hash) }
