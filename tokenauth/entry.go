package tokenauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// storePrefix is the prefix of all keys. The number is the version of the format.
const storePrefix = "tokenauth/v1/"

var (
	errSealed   = errors.New("the entry was not sealed with this client's credential for this purpose, or has been changed")
	errSizeless = errors.New("the storage does not report the size of the entry, so it is not read")
	errTooLarge = fmt.Errorf("the entry is larger than %d bytes", maxEntry)
)

// An entry is a place in a Store with a sealed value. Its name and its encryption key are
// derived from the client's credential (RFC 5869), so no further secret is needed: anybody
// who has the credential can ask for a token anyway. Another credential has another entry,
// so that processes with an old and a new credential do not disturb each other. If the
// credentials have a ShareSecret, name and key are derived from that.
type entry struct {
	name string
	aead cipher.AEAD
}

// newEntry returns an entry for the given credentials. purpose says what the entry is for;
// every other entry must have another purpose.
func newEntry(c Credentials, purpose any) (*entry, error) {
	info, err := json.Marshal(purpose)
	if err != nil {
		return nil, err
	}
	name, err := c.Derive(storePrefix+"name"+string(info), 16)
	if err != nil {
		return nil, err
	}
	key, err := c.Derive(storePrefix+"key"+string(info), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &entry{name: storePrefix + hex.EncodeToString(name), aead: aead}, nil
}

// lock returns the name of the entry's lock. It differs from the entry's key, since some
// storages keep locks among the entries.
func (e *entry) lock() string { return e.name + ".lock" }

// save seals value and stores it.
func (e *entry) save(ctx context.Context, store Store, value []byte) error {
	return store.Store(ctx, e.name, e.aead.Seal(nil, nil, value, []byte(e.name))) //nolint:gosec // it makes its own nonce
}

// load returns the value that save has stored. If the entry has another value, the error is
// errSealed, errSizeless or errTooLarge. Any other error may mean that there is no entry.
func (e *entry) load(ctx context.Context, store Store) ([]byte, error) {
	size, err := store.Size(ctx, e.name)
	if err != nil {
		return nil, err
	}
	switch {
	case size > maxEntry:
		return nil, errTooLarge
	case size < 1:
		return nil, errSizeless
	}
	sealed, err := store.Load(ctx, e.name)
	switch {
	case err != nil:
		return nil, err
	case len(sealed) > maxEntry:
		return nil, errTooLarge
	}
	value, err := e.aead.Open(nil, nil, sealed, []byte(e.name))
	if err != nil {
		return nil, errSealed
	}
	return value, nil
}

// The purposes of entries.
const (
	purposeToken    = "token"
	purposeDocument = "discovery"
	purposeProbe    = "probe"
)

// entries are the entries of one client in a store.
type entries struct {
	token    *entry
	document *entry // of discovery
	probe    *entry // has always the same value
}

// newEntries returns the entries for the given configuration and credentials. It returns
// nil if the tokens are bound to a key that other processes do not have.
func newEntries(config Config, c Credentials) (*entries, error) {
	if config.DPoP && c.DPoPKey == nil {
		return nil, nil
	}
	type purpose struct {
		What, Issuer, ClientID, Audience, Thumbprint string
		Scopes                                       []string
	}
	token := purpose{What: purposeToken, Issuer: config.Provider.Issuer(), ClientID: c.ClientID, Audience: config.Audience, Scopes: config.Scopes}
	if config.DPoP {
		token.Thumbprint = c.DPoPKey.thumbprint
	}
	var es entries
	for _, e := range []struct {
		entry   **entry
		purpose purpose
	}{
		{&es.token, token},
		{&es.document, purpose{What: purposeDocument, Issuer: token.Issuer, ClientID: c.ClientID}},
		{&es.probe, purpose{What: purposeProbe, Issuer: token.Issuer, ClientID: c.ClientID}},
	} {
		var err error
		if *e.entry, err = newEntry(c, e.purpose); err != nil {
			return nil, err
		}
	}
	return &es, nil
}
