package sandbox

import "slices"

// recent is a map that remembers no more than it has room for: what was added
// first gives way. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	room   int // total weight that it may hold
	weight int // total weight that it holds
	oldest []K // the keys in the order of their arrival
	items  map[K]weighed[V]
}

type weighed[V any] struct {
	value  V
	weight int
}

func newRecent[K comparable, V any](room int) *recent[K, V] {
	return &recent[K, V]{room: room, items: make(map[K]weighed[V])}
}

// add remembers a value under a new key. A value is kept even if it is heavier
// than the whole room; then it is alone.
func (m *recent[K, V]) add(key K, value V, weight int) {
	for len(m.oldest) > 0 && m.weight+weight > m.room {
		m.remove(m.oldest[0])
	}
	m.oldest = append(m.oldest, key)
	m.items[key] = weighed[V]{value: value, weight: weight}
	m.weight += weight
}

func (m *recent[K, V]) get(key K) (V, bool) {
	item, ok := m.items[key]
	return item.value, ok
}

func (m *recent[K, V]) remove(key K) {
	item, ok := m.items[key]
	if !ok {
		return
	}
	delete(m.items, key)
	m.weight -= item.weight
	i := slices.Index(m.oldest, key)
	m.oldest = slices.Delete(m.oldest, i, i+1)
}
