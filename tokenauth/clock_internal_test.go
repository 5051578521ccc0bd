package tokenauth

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// When this machine's clock is set, for example by NTP, the difference from before is not
// used any more.
func TestClockThatIsSetIsNotCorrected(t *testing.T) {
	const ahead = 2 * time.Minute
	for name, test := range map[string]struct {
		wall, mono time.Duration // time that passes on the clocks after the provider's response
		known      bool
	}{
		"nothing":               {0, 0, true},
		"a day":                 {24 * time.Hour, 24 * time.Hour, true},
		"a day, a second apart": {24*time.Hour + time.Second, 24 * time.Hour, true},
		"set forward":           {ahead, 0, false},
		"set back":              {-ahead, 0, false},
		"set, a day later":      {24*time.Hour + ahead, 24 * time.Hour, false},
		"set by little":         {3 * time.Second, 0, false},
		"suspended":             {time.Hour, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			provider, err := NewProvider("https://issuer.test")
			if err != nil {
				t.Fatal(err)
			}
			date := time.Now().Add(ahead).UTC().Format(http.TimeFormat)
			provider.measure(http.Header{"Date": {date}}, time.Now())
			skew := *provider.skew.Load()
			skew.at = later(skew.at, -test.wall, -test.mono)
			provider.skew.Store(&skew)
			clock := provider.Clock()
			if clock.Known != test.known || (clock.Ahead != 0) != test.known {
				t.Errorf("%s: the clock is %+v", name, clock)
			}
			if dated := time.Until(provider.now()); (dated != 0) != test.known {
				t.Errorf("%s: what is signed is dated %v ahead", name, dated)
			}
		})
	}
}
