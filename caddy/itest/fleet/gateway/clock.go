//go:build movableclock

package main

import (
	"os"
	"strconv"
	"time"
)

// If package movableclock has replaced package time, an environment variable says by how many
// seconds the wall clock is ahead.
func init() {
	if seconds, err := strconv.ParseInt(os.Getenv("CLOCK_AHEAD"), 10, 64); err == nil {
		time.WallOffset.Store(seconds)
	}
}
