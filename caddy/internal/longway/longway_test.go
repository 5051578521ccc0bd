package longway

import "testing"

func TestTakeJSON(t *testing.T) {
	got, err := TakeJSON([]byte(`{"routes":[{"handle":[{"handler":"bankid_esign"},{"handler":"other"}]},{"handler":"bankid_esign","proxy":{"transport":1}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"routes":[{"handle":[{"handler":"bankid_esign","proxy":{"verbose_logs":false}},{"handler":"other"}]},` +
		`{"handler":"bankid_esign","proxy":{"transport":1,"verbose_logs":false}}]}`
	if string(got) != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	if _, err := TakeJSON([]byte("{")); err == nil {
		t.Error("there is no error for what is not JSON")
	}
}
