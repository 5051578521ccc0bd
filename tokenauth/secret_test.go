package tokenauth_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// planted is a secret that is easy to find in every encoding.
const planted = "planted-secret"

// wantUnseen fails the test if text shows planted, also if it shows it as numbers.
func wantUnseen(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range []string{
		planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), fmt.Sprintf("% x", planted),
		strings.Trim(fmt.Sprintf("%d", []byte(planted)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(planted)), "[]byte{}"),
	} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
}

// holders are values that hold s in different ways.
func holders(s tokenauth.Secret) map[string]any {
	type exported struct{ Secret tokenauth.Secret }
	type unexported struct{ secret tokenauth.Secret }
	type embedded struct{ tokenauth.Secret }
	type pointers struct {
		Exported   *tokenauth.Secret
		unexported *tokenauth.Secret
		inner      *unexported
	}
	p := &s
	return map[string]any{
		"value": s, "pointer": p, "pointer to pointer": &p,
		"exported field": exported{s}, "unexported field": unexported{s}, "embedded": embedded{s},
		"pointer to exported": &exported{s}, "pointer to unexported": &unexported{s},
		"pointer fields": pointers{p, p, &unexported{s}}, "pointer to pointer fields": &pointers{p, p, &unexported{s}},
		"slice": []tokenauth.Secret{s}, "array": [1]tokenauth.Secret{s}, "slice of unexported": []unexported{{s}},
		"map": map[string]tokenauth.Secret{"k": s}, "map key": map[tokenauth.Secret]int{s: 1}, "interface": []any{s, &s, unexported{s}},
		"credentials": tokenauth.Credentials{ClientID: "id", ClientSecret: s}, "pointer to credentials": &tokenauth.Credentials{ClientSecret: s},
	}
}

func TestF34SecretIsNotFormatted(t *testing.T) {
	for name, holder := range holders(tokenauth.NewSecret(planted)) {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw!" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "#+20"} {
				format := "%" + flags + string(verb)
				wantUnseen(t, name+" with "+format, fmt.Sprintf(format, holder))
			}
		}
		wantUnseen(t, name+" with Sprint", fmt.Sprint(holder))
		wantUnseen(t, name+" with Errorf", fmt.Errorf("%w", fmt.Errorf("%v", holder)).Error())
	}
	if got := fmt.Sprintf("%s|%v|%#v|%x", tokenauth.NewSecret("a"), tokenauth.Secret{}, tokenauth.NewSecret("b"), tokenauth.NewSecret("")); strings.Count(got, "[REDACTED]") != 4 {
		t.Errorf("got %s", got)
	}
}

func TestF34SecretIsNotEncodedOrLogged(t *testing.T) {
	for name, holder := range holders(tokenauth.NewSecret(planted)) {
		if b, err := json.Marshal(holder); err == nil {
			wantUnseen(t, name+" in JSON", string(b))
		}
		if b, err := xml.Marshal(holder); err == nil {
			wantUnseen(t, name+" in XML", string(b))
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
			slog.New(handler).Info("m", "k", holder, slog.Group("g", "k", holder))
		}
		wantUnseen(t, name+" in a log", log.String())
	}
}

func TestF34NothingThatHoldsATokenShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(respondToken(planted, 300))
		provider := newTestProvider(t, server)
		config := tokenauth.Config{Provider: provider, Credentials: func() (tokenauth.Credentials, error) {
			return tokenauth.Credentials{ClientID: "id", ClientSecret: tokenauth.NewSecret(planted)}, nil
		}}
		source, err := tokenauth.NewSource(config)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		source.Attach(tokenauth.Runtime{Client: server.Client()})
		token := getToken(t, source)
		server.HandleToken(respondError(401, planted))
		<-source.Reject(token, http.StatusUnauthorized) // so that the source holds a failure and credentials
		transport := &gateway.Transport{Sources: map[string]*tokenauth.Source{"csc": source}}
		for name, value := range map[string]any{
			"*Source": source, "Source": reflect.ValueOf(source).Elem(), "*Token": token, "Token": reflect.ValueOf(token).Elem(),
			"Config": config, "*Config": &config, "Provider": provider, "Transport": transport,
			"[]*Token": []*tokenauth.Token{token}, "struct": struct{ t *tokenauth.Token }{token},
		} {
			for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				wantUnseen(t, name+" with "+format, fmt.Sprintf(format, value))
			}
			if b, err := json.Marshal(value); err == nil {
				wantUnseen(t, name+" in JSON", string(b))
			}
		}
	})
}

func TestSecretEqualAndEmpty(t *testing.T) {
	a, b, empty := tokenauth.NewSecret("a"), tokenauth.NewSecret("b"), tokenauth.NewSecret("")
	if !a.Equal(tokenauth.NewSecret("a")) || a.Equal(b) || a.Equal(empty) || !empty.Equal(tokenauth.Secret{}) {
		t.Error("Equal does not compare the values")
	}
	if a.Empty() || !empty.Empty() || !(tokenauth.Secret{}).Empty() {
		t.Error("Empty does not say whether it is empty")
	}
	if a.Reveal() != "a" || (tokenauth.Secret{}).Reveal() != "" {
		t.Error("Reveal does not return the value")
	}
}
