package sandbox

import (
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
