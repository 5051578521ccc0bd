package sandbox_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// imprint is a timestamp request in JSON for the SHA-256 of data.
func imprint(data string) string {
	hash := sha256.Sum256([]byte(data))
	return `{"hash":"` + base64.StdEncoding.EncodeToString(hash[:]) + `","hashAlgo":"2.16.840.1.101.3.4.2.1","nonce":"1FF0","clientData":"x"}`
}

// der is the concatenation of DER values in a SEQUENCE.
func der(t testing.TB, values ...any) []byte {
	t.Helper()
	encoded, err := asn1.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// hashed is a MessageImprint.
func hashed(t testing.TB, algorithm []any, length int) asn1.RawValue {
	t.Helper()
	return asn1.RawValue{FullBytes: der(t, algorithm, bytes.Repeat([]byte{7}, length))}
}

func sha256Algorithm() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
}

// A reply is a TimeStampResp, as far as it is not the token.
type reply struct {
	Status struct {
		Status   int
		Text     []asn1.RawValue `asn1:"optional"`
		FailInfo asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// askTimestamp sends a query in DER.
func askTimestamp(t testing.TB, s http.Handler, authorization string, query []byte) reply {
	t.Helper()
	w := send(t, s, call{
		method: "POST", target: "/v1/timestamp/token", authorization: authorization,
		contentType: queryType, body: bytes.NewReader(query),
	})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != replyType || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, header %v, body %q", w.Code, w.Header(), w.Body)
	}
	var got reply
	rest, err := asn1.Unmarshal(w.Body.Bytes(), &got)
	if err != nil || len(rest) > 0 {
		t.Fatalf("reply %x: %v", w.Body, err)
	}
	if granted := got.Status.Status == 0; granted != (len(got.Token.FullBytes) > 0) {
		t.Errorf("status %d with %d bytes of token", got.Status.Status, len(got.Token.FullBytes))
	}
	return got
}

func TestTimestampQueries(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	authorization := bearer(t, s, "esign/qtsa")
	good := hashed(t, []any{sha256Algorithm()}, 32)
	null := asn1.NullRawValue
	extension := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der(t, asn1.ObjectIdentifier{1, 2, 3}, []byte{1})}
	const granted = -1
	for name, test := range map[string]struct {
		query []byte
		want  int // bit of failInfo
	}{
		"least":                       {der(t, 1, good), granted},
		"most":                        {der(t, 1, good, asn1.ObjectIdentifier{2, 999, 3161, 1}, big.NewInt(5), true), granted},
		"NULL as parameters":          {der(t, 1, hashed(t, []any{sha256Algorithm(), null}, 32)), granted},
		"negative nonce":              {der(t, 1, good, big.NewInt(-5)), granted},
		"long nonce":                  {der(t, 1, good, new(big.Int).Lsh(big.NewInt(1), 100_000)), granted},
		"SHA-384":                     {der(t, 1, hashed(t, []any{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}}, 48)), granted},
		"SHA-512":                     {der(t, 1, hashed(t, []any{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}}, 64)), granted},
		"SHA-1":                       {der(t, 1, hashed(t, []any{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}}, 20)), 0},
		"unknown algorithm":           {der(t, 1, hashed(t, []any{asn1.ObjectIdentifier{1, 2, 3}}, 32)), 0},
		"version 2":                   {der(t, 2, good), 2},
		"version 0":                   {der(t, 0, good), 2},
		"other policy":                {der(t, 1, good, asn1.ObjectIdentifier{1, 2, 3, 4}), 15},
		"extension":                   {der(t, 1, good, extension), 16},
		"nothing":                     {nil, 5},
		"no DER":                      {[]byte("hello"), 5},
		"no imprint":                  {der(t, 1), 5},
		"cut off":                     {der(t, 1, good)[:20], 5},
		"something after":             {append(der(t, 1, good), 5, 0), 5},
		"short hash":                  {der(t, 1, hashed(t, []any{sha256Algorithm()}, 31)), 5},
		"long hash":                   {der(t, 1, hashed(t, []any{sha256Algorithm()}, 48)), 5},
		"parameters of an algorithm":  {der(t, 1, hashed(t, []any{sha256Algorithm(), 1}, 32)), 5},
		"version that is not integer": {der(t, true, good), 5},
	} {
		t.Run(name, func(t *testing.T) {
			got := askTimestamp(t, s, authorization, test.query)
			switch {
			case test.want == granted:
				if got.Status.Status != 0 {
					t.Errorf("status is %+v", got.Status)
				}
			case got.Status.Status != 2, got.Status.FailInfo.At(test.want) != 1, got.Status.FailInfo.BitLength != test.want+1, len(got.Status.Text) != 1:
				t.Errorf("status is %+v, want bit %d", got.Status, test.want)
			}
		})
	}
}

// An issued token says the time of the sandbox, and no two have the same number.
func TestTimestampTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		authorization := bearer(t, s, "esign/qtsa")
		time.Sleep(90 * time.Second)
		now := []byte(time.Now().UTC().Format("20060102150405Z"))
		query := der(t, 1, hashed(t, []any{sha256Algorithm()}, 32), big.NewInt(0x1234567890))
		var tokens [][]byte
		for range 10 {
			token := askTimestamp(t, s, authorization, query).Token.FullBytes
			if !bytes.Contains(token, now) || !bytes.Contains(token, []byte{2, 5, 0x12, 0x34, 0x56, 0x78, 0x90}) {
				t.Errorf("time or nonce is missing in %x", token)
			}
			number := token[bytes.Index(token, now)-22-2:][:22]
			if number[0] != asn1.TagInteger || number[1] != 20 || slices.ContainsFunc(tokens, func(other []byte) bool { return bytes.Equal(number, other) }) {
				t.Errorf("serial number is %x", number)
			}
			tokens = append(tokens, number)
		}
	})
}

type timestampError struct {
	Message, Code, RequestID, ErrorReference string
}

// wantTimestampError checks an error response of the token endpoint.
func wantTimestampError(t testing.TB, s http.Handler, c call, status int, code string) {
	t.Helper()
	w := send(t, s, c)
	got := decode[timestampError](t, w, status)
	if got.Message == "" || got.Code != code || got.RequestID == "" || got.ErrorReference == "" {
		t.Errorf("error is %s, want code %q", w.Body, code)
	}
}

func TestTimestampTokenAuthorization(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, contentType := range []string{queryType, jsonType} {
		c := call{method: "POST", target: "/v1/timestamp/token", contentType: contentType, body: unreadable{t}}
		wantTimestampError(t, s, c, http.StatusUnauthorized, "SIG-TG401")
		for _, value := range badAuthorizations(t, s, "esign/qtsa") {
			c.authorization = value
			wantTimestampError(t, s, c, http.StatusUnauthorized, "SIG-TG401")
		}
		for _, scope := range []string{"esign", "esign/csc", "signdoc/read_write"} {
			c.authorization = bearer(t, s, scope)
			wantTimestampError(t, s, c, http.StatusForbidden, "SIG-TG403")
		}
	}
}

func TestTimestampTokenRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	c := call{method: "POST", target: "/v1/timestamp/token", authorization: bearer(t, s, "esign/qtsa")}
	for _, contentType := range []string{"", formType, replyType, "application/json+x"} {
		c.contentType, c.body = contentType, strings.NewReader(imprint("x"))
		wantTimestampError(t, s, c, http.StatusBadRequest, "SIG-TG400")
	}
	for _, contentType := range []string{queryType, jsonType} {
		c.contentType, c.body = contentType, strings.NewReader(`{"nonce":"`+strings.Repeat("0", 64<<10)+`"}`)
		wantTimestampError(t, s, c, http.StatusRequestEntityTooLarge, "SIG-TG413")
	}
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `"`, imprint("x") + `{}`,
		strings.Replace(imprint("x"), "4.2.1", "4.2.2", 1),
		strings.Replace(imprint("x"), "2.16.840.1.101.3.4.2.1", "1.3.14.3.2.26", 1),
		strings.Replace(imprint("x"), "2.16.840", "+2.16.840", 1),
		strings.Replace(imprint("x"), "2.16.840", "2.016.840", 1),
		strings.Replace(imprint("x"), "2.16.840.1.101.3.4.2.1", "SHA-256", 1),
		strings.Replace(imprint("x"), "2.16.840.1.101.3.4.2.1", "", 1),
		strings.Replace(imprint("x"), "1FF0", "xyz", 1),
		strings.Replace(imprint("x"), "1FF0", "-1F", 1),
		strings.Replace(imprint("x"), `"1FF0"`, `8176`, 1),
		strings.Replace(imprint("x"), `{"hash":"`, `{"hash":"!`, 1),
		strings.Replace(imprint("x"), `{"hash":"`, `{"hash":"AAAA`, 1),
	} {
		c.contentType, c.body = jsonType, strings.NewReader(body)
		wantTimestampError(t, s, c, http.StatusBadRequest, "SIG-TG400")
	}
}

func FuzzTimestampQuery(f *testing.F) {
	good := hashed(f, []any{sha256Algorithm()}, 32)
	f.Add(der(f, 1, good))
	f.Add(der(f, 1, good, asn1.ObjectIdentifier{2, 999, 3161, 1}, big.NewInt(5), true))
	f.Add(der(f, 1, hashed(f, []any{sha256Algorithm(), asn1.NullRawValue}, 32), big.NewInt(-5)))
	f.Add([]byte{})
	s := newServer(f, sandbox.Options{TokenLifetime: 24 * time.Hour})
	authorization := bearer(f, s, "esign/qtsa")
	f.Fuzz(func(t *testing.T, query []byte) {
		if len(query) > 64<<10 {
			return
		}
		got := askTimestamp(t, s, authorization, query)
		if got.Status.Status != 0 && (got.Status.Status != 2 || len(got.Status.Text) != 1 || got.Status.FailInfo.BitLength == 0) {
			t.Errorf("status is %+v", got.Status)
		}
	})
}

func FuzzTimestampJSON(f *testing.F) {
	for _, body := range []string{imprint("x"), strings.Replace(imprint("x"), "1FF0", "", 1), `{}`, `{"hash":null}`, `{"hashAlgo":"1..2"}`, `[`, ``} {
		f.Add([]byte(body))
	}
	s := newServer(f, sandbox.Options{TokenLifetime: 24 * time.Hour})
	authorization := bearer(f, s, "esign/qtsa")
	f.Fuzz(func(t *testing.T, body []byte) {
		w := create(t, s, "/v1/timestamp/token", authorization, bytes.NewReader(body))
		switch w.Code {
		case http.StatusOK:
			var token asn1.RawValue
			if rest, err := asn1.Unmarshal(decode[map[string][]byte](t, w, http.StatusOK)["timestamp"], &token); err != nil || len(rest) > 0 {
				t.Errorf("token: %v", err)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if got := decode[timestampError](t, w, w.Code); got.Message == "" {
				t.Errorf("error is %s", w.Body)
			}
		default:
			t.Errorf("status %d", w.Code)
		}
	})
}
