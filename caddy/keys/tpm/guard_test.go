package tpm

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// fromFile returns the placeholder of a file with an authorization value, and what sets the
// value.
func (s *simulator) fromFile() (placeholder string, set func(value string)) {
	path := s.path("authvalue")
	return "{file." + path + "}", func(value string) {
		s.t.Helper()
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// counted returns how many wrong values the TPM has counted.
func (s *simulator) counted() (n uint32) {
	s.t.Helper()
	s.do(func(tpm transport.TPM) {
		response, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 1}.Execute(tpm)
		if err != nil {
			s.t.Fatal(err)
		}
		properties, err := response.CapabilityData.Data.TPMProperties()
		if err != nil {
			s.t.Fatal(err)
		}
		n = properties.TPMProperty[0].Value
	})
	return n
}

// A wrong value is tried once, then not again until it changes.
func TestWrongValueIsTriedOnce(t *testing.T) {
	s := newSimulator(t)
	placeholder, set := s.fromFile()
	set(auth)
	d, sent := s.newCounted()
	key := s.make(s.key(d, Key{File: s.path("key"), Auth: placeholder}), "ES256")
	for i, value := range []string{"planted-wrong", "planted-other"} {
		set(value)
		for range 3 {
			if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), errRefused.Error()) || strings.Contains(err.Error(), "planted") {
				t.Errorf("error is %v", err)
			}
		}
		if n := sent.of(tpm2.TPMCCSign); n != i+1 {
			t.Errorf("%d values were tried %d times", i+1, n)
		}
	}
	without, err := s.key(d, Key{File: s.path("key")}).Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := without.Try(t.Context()); err == nil || !strings.Contains(err.Error(), errNoAuth.Error()) {
		t.Errorf("without a value: %v", err)
	}
	set(auth)
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("with the right value: %v", err)
	}
	if n := s.counted(); n != 0 {
		t.Errorf("the TPM has counted %d wrong values", n)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d keys or sessions are left in the TPM", n)
	}
}

// makeCounting makes a key that counts wrong values (noDA is not set), as tpm2-tools make
// them.
func (s *simulator) makeCounting(path string) {
	s.t.Helper()
	template, err := templateFor("ES256")
	if err != nil {
		s.t.Fatal(err)
	}
	template.ObjectAttributes.NoDA = false
	if err := newKeyFile(path).create(s.t.Context(), newDevice(s.socket), template, secret(auth)); err != nil {
		s.t.Fatal(err)
	}
}

// A process that is started over and over with a wrong value does not lock the TPM, which
// allows three wrong ones for all keys together. When the TPM has forgotten, the right value
// works.
func TestWrongValueDoesNotLockTheTPM(t *testing.T) {
	s := newSimulator(t)
	s.makeCounting(s.path("key"))
	placeholder, set := s.fromFile()
	set("planted-wrong")
	k := Key{File: s.path("key"), Auth: placeholder}
	for i := range 6 {
		want := errRefused
		if i >= 2 {
			want = errLast
		}
		key, err := s.key(newDevice(s.socket), k).Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("process %d: error is %v, want %v", i, err, want)
		}
	}
	if n := s.counted(); n != 2 {
		t.Errorf("the TPM has counted %d wrong values, want 2", n)
	}
	s.tool("tpm2_dictionarylockout", "--clear-lockout")
	set(auth)
	key, err := s.key(newDevice(s.socket), k).Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("with the right value: %v", err)
	}
}

// A value that was right is used also when another program has given wrong ones.
func TestRightValueWhileTheTPMIsNearlyLocked(t *testing.T) {
	s := newSimulator(t)
	s.makeCounting(s.path("key"))
	key, err := s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: auth}).Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		other, err := s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: "wrong"}).Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Try(t.Context()); err == nil {
			t.Error("a wrong value signs")
		}
	}
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
}

// Power cuts lock a key that counts. A key that keygen makes does not count them.
func TestPowerCuts(t *testing.T) {
	s := newSimulator(t)
	s.makeCounting(s.path("counting"))
	k := s.key(newDevice(s.socket), Key{File: s.path("counting"), Auth: auth})
	counting, err := k.Key(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	made := s.make(s.key(k.device, Key{File: s.path("made"), Auth: auth}), "ES256")
	for range 3 {
		if err := counting.Try(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.restart()
	}
	if err := counting.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "it is locked against the guessing of passwords") ||
		!strings.Contains(err.Error(), "the machine lost its power") {
		t.Errorf("after three power cuts, the error is %v", err)
	}
	another := s.key(newDevice(s.socket), Key{File: s.path("counting"), Auth: auth})
	if key, err := another.Key(t.Context(), ""); err != nil || !strings.Contains(key.Try(t.Context()).Error(), errLocked.Error()) {
		t.Errorf("in another process, it is not locked (%v)", err)
	}
	if err := made.Try(t.Context()); err != nil {
		t.Errorf("the key that keygen made: %v", err)
	}
}

func TestGuardKeepsWhatWasRefused(t *testing.T) {
	g, tries := new(guard), 0
	for range 5 {
		for _, value := range []string{"1", "2"} {
			err := g.use(nil, false, secret(value), func() error { tries++; return tpm2.TPMRCBadAuth })
			if !errors.Is(err, errRefused) {
				t.Errorf("error is %v", err)
			}
		}
	}
	if tries != 2 {
		t.Errorf("2 values were tried %d times", tries)
	}
}

// The authorization value of a key can be changed. Then the same key has another file. A
// value that came before that file is tried with it.
func TestAuthorizationValueThatChanges(t *testing.T) {
	s := newSimulator(t)
	placeholder, set := s.fromFile()
	set(auth)
	k := s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: placeholder})
	key := s.make(k, "ES256")
	o, err := k.holder.read(t.Context(), k.device)
	if err != nil {
		t.Fatal(err)
	}
	changed := *o.(*fileKey)
	s.do(func(tpm transport.TPM) {
		d := newDevice(s.socket)
		parent, err := d.primary(tpm, primary{hierarchy: tpm2.TPMRHOwner})
		if err != nil {
			t.Fatal(err)
		}
		defer unload(tpm, parent.Handle)
		loaded, done, err := changed.load(d, tpm)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		response, err := tpm2.ObjectChangeAuth{
			ObjectHandle: tpm2.AuthHandle{Handle: loaded.Handle, Name: loaded.Name, Auth: tpm2.PasswordAuth([]byte(auth))},
			ParentHandle: parent.NamedHandle,
			NewAuth:      tpm2.TPM2BAuth{Buffer: []byte("planted-new")},
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		changed.private = response.OutPrivate
	})
	text, err := changed.pem(false)
	if err != nil {
		t.Fatal(err)
	}
	set("planted-new")
	if err := key.Try(t.Context()); err == nil {
		t.Fatal("the new value signs with the old file")
	}
	if err := os.WriteFile(s.path("key"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err = k.Key(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := key.Try(t.Context()); err != nil {
		t.Errorf("with the new file: %v", err)
	}
}
