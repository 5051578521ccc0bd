package caddyesign

import (
	"strings"
	"testing"
)

// A client whose key is in hardware has no bytes to derive a seal key from.
func TestStorageWithoutSealKey(t *testing.T) {
	a := &App{Downloads: &Downloads{Mode: downloadsStorage}}
	if _, err := a.archive("seal", Client{ClientID: "x"}); err == nil || !strings.Contains(err.Error(), "write seal_key {file./run/secrets/seal}") {
		t.Errorf("the error is %v", err)
	}
}
