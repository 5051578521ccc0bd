//go:build race

package caddyesign_test

import "testing"

// send3 is not there with the race detector.
func (c *wireCall) send3(t *testing.T, _ string) string {
	t.Helper()
	t.Fatal("HTTP/3 is not tested with the race detector")
	return ""
}
