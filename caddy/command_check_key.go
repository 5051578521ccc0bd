package caddyesign

import (
	"context"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// checkedKey is the result for a key that a module holds.
type checkedKey struct {
	// OK reports whether it has signed.
	OK bool `json:"ok"`

	// Name is that of the option: private_key or dpop_key. Place says where the key is.
	Name  string `json:"name"`
	Place string `json:"place"`

	// KeyID is its kid, left out if the key could not be read, or has none.
	KeyID string `json:"kid,omitempty"`

	// Error is why it has not signed.
	Error string `json:"error,omitempty"`
}

// checkKeys has each key of the client that a module holds sign once.
func checkKeys(ctx context.Context, client Client) []checkedKey {
	var keys []checkedKey
	for _, k := range []struct {
		name, id string
		holder   KeyHolder
	}{
		{"private_key", client.KeyID, client.privateKey},
		{"dpop_key", "", client.dpopKey},
	} {
		if k.holder != nil {
			keys = append(keys, checkKey(ctx, k.holder, k.name, k.id))
		}
	}
	return keys
}

// checkKey has the key of holder sign once. id is its kid, as typed.
func checkKey(ctx context.Context, holder KeyHolder, name, id string) checkedKey {
	checked := checkedKey{Name: name, Place: holder.String()}
	ctx, cancel := context.WithTimeout(ctx, tokenauth.DefaultTimeout)
	defer cancel()
	id, err := resolve(id)
	var key *tokenauth.Key
	if err == nil {
		key, err = holder.Key(ctx, id)
	}
	if err == nil {
		checked.KeyID = key.ID()
		err = key.Try(ctx)
	}
	if checked.OK = err == nil; !checked.OK {
		checked.Error = err.Error()
	}
	return checked
}

// print adds the key to the table.
func (k *checkedKey) print(t *table) {
	name := strings.ReplaceAll(k.Name, "_", " ")
	if !k.OK {
		t.row(bad, name, k.Place+": "+k.Error)
		return
	}
	t.row(good, name, "signs, in "+k.Place)
}
