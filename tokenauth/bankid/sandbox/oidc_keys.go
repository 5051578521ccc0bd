package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// ParseKeys reads public keys from JSON: a JWK set, or a JWK (RFC 7517, sections 5 and
// 4). It returns an error if text is neither, if the set is empty, or if it has a key of an unknown type.
func ParseKeys(text []byte) (jose.JSONWebKeySet, error) {
	var read struct {
		KeyType string            `json:"kty"`
		Keys    []json.RawMessage `json:"keys"`
	}
	reader := newJSONReader(bytes.NewReader(text))
	if err := errors.Join(reader.Decode(&read), reader.end()); err != nil || read.KeyType == "" && read.Keys == nil {
		return jose.JSONWebKeySet{}, errors.New("this is neither a JWK set nor a JWK")
	}
	switch {
	case read.Keys == nil:
		read.Keys = []json.RawMessage{text}
	case len(read.Keys) == 0:
		return jose.JSONWebKeySet{}, errors.New("the JWK set has no key")
	}
	var set jose.JSONWebKeySet
	for i, text := range read.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err != nil {
			return jose.JSONWebKeySet{}, fmt.Errorf("key %d: %w", i+1, err)
		}
		set.Keys = append(set.Keys, key)
	}
	return set, nil
}

// RegisterKeys registers the public keys of a client, instead of those that it had, as
// BankID's support does on request. It returns an error if the client is unknown, if a
// key is not as [Client] asks, or if the client would have no credential left.
func (s *Server) RegisterKeys(clientID string, keys jose.JSONWebKeySet) error {
	s.clients.mu.Lock()
	defer s.clients.mu.Unlock()
	client, ok := s.clients.known[clientID]
	if !ok {
		return fmt.Errorf("sandbox: client %q is unknown", abridged(clientID))
	}
	client.Keys = keys
	if err := client.validate(); err != nil {
		return fmt.Errorf("sandbox: client %q: %w", clientID, err)
	}
	s.clients.known[clientID] = client
	return nil
}

// registerKeys lets a developer register keys. BankID has no such endpoint; it is
// guarded as driveOrder is.
func (s *Server) registerKeys(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var text json.RawMessage
	if !readControl(w, r, &text, "application/jwk-set+json", "application/jwk+json") {
		return
	}
	clientIDs := r.URL.Query()["client_id"]
	if len(clientIDs) != 1 {
		respondJSON(w, http.StatusBadRequest, "client_id must be given once, in the query")
		return
	}
	if _, ok := s.clients.get(clientIDs[0]); !ok {
		respondJSON(w, http.StatusNotFound, "there is no client with this client_id")
		return
	}
	keys, err := ParseKeys(text)
	if err == nil {
		err = s.RegisterKeys(clientIDs[0], keys)
	}
	if err != nil {
		respondJSON(w, http.StatusBadRequest, abridged(err.Error()))
		return
	}
	respondJSON(w, http.StatusOK, keys)
}
