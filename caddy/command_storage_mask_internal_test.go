package caddyesign

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestStorageMask(t *testing.T) {
	t.Setenv("TEST_STORAGE_SECRET", "from/the environment")
	mask := newStorageMask(json.RawMessage(`{
		"module": "redis", "address": ["10.0.0.5:6379"], "key_prefix": "caddy", "timeout": 5,
		"password": "hunter2 & more", "token": "{env.TEST_STORAGE_SECRET}", "pwd": "x",
		"nested": [{"aws": {"secret_access_key": "wJalrX"}}], "encryption": {"keys": ["first-key", "second-key"]},
		"a_key": "begins", "b_key": "begins-and-goes-on", "client_key_pem": "PEM data"
	}`))
	for text, want := range map[string]string{
		"dial tcp 10.0.0.5:6379: connect: connection refused":              "dial tcp 10.0.0.5:6379: connect: connection refused",
		"open /mnt/caddy/tokenauth-check-1/value: permission denied":       "open /mnt/caddy/tokenauth-check-1/value: permission denied",
		"WRONGPASS for hunter2 & more":                                     "WRONGPASS for ***",
		"GET /?t=" + url.QueryEscape("hunter2 & more"):                     "GET /?t=***",
		"bad token from/the environment":                                   "bad token ***",
		"begins-and-goes-on with PEM data":                                 "*** with ***",
		"wJalrX and first-key, second-key":                                 "*** and ***, ***",
		"parse postgres://caddy:p@ss/word@db.internal:5432/x: bad":         "parse postgres://***@db.internal:5432/x: bad",
		"cannot parse `host=db user=caddy password=xxx sslmode=off`":       "cannot parse `host=db user=caddy password=*** sslmode=off`",
		"host=db password='a b\\'c' sslmode=off":                           "host=db password=*** sslmode=off",
		"caddy:p@ss@tcp(db:3306)/x: no route":                              "***@tcp(db:3306)/x: no route",
		`{"accessKeyId": "AKIA", "secretAccessKey":"abc,d", "bucket":"b"}`: `{"accessKeyId": ***, "secretAccessKey":***, "bucket":"b"}`,
		"Authorization: Basic Y2FkZHk6eA== refused":                        "Authorization: *** refused",
		"https://s3.internal/b?X-Amz-Signature=abcdef&x=1":                 "https://s3.internal/b?X-Amz-Signature=***&x=1",
		strings.Repeat("é", 500):                                           strings.Repeat("é", 400) + "…",
	} {
		if got := mask.show(errors.New(text)); got != want {
			t.Errorf("of %s\nit shows %s,\nwant     %s", text, got, want)
		}
	}
}
