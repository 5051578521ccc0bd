package tpm

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/sys/unix"
)

// Keys that tpm2-tools make and encode sign, under a parent with a persistent handle.
func TestKeysOfTPM2Tools(t *testing.T) {
	s := newSimulator(t)
	s.tool("tpm2_createprimary", "-C", "o", "-c", "primary")
	s.tool("tpm2_evictcontrol", "-C", "o", "-c", "primary", "0x81000001")
	s.flushKeys()
	for name, test := range map[string]struct {
		arguments []string
		auth, alg string
	}{
		"ecc with auth": {[]string{"-G", "ecc256:ecdsa-sha256", "-p", auth}, auth, `"alg":"ES256"`},
		"rsa":           {[]string{"-G", "rsa2048"}, "", `"alg":"RS256"`},
	} {
		t.Run(name, func(t *testing.T) {
			s.tool("tpm2_create", append([]string{"-C", "0x81000001", "-u", "public", "-r", "private"}, test.arguments...)...)
			arguments := []string{"-C", "0x81000001", "-u", "public", "-r", "private", "-o", "key"}
			if test.auth != "" {
				arguments = append(arguments, "-p")
			}
			s.tool("tpm2_encodeobject", arguments...)
			key, err := s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: test.auth}).Key(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if public, err := key.Public(); err != nil || !strings.Contains(string(public), test.alg) {
				t.Errorf("the key is %s (%v), want %s", public, err, test.alg)
			}
			if err := key.Try(t.Context()); err != nil {
				t.Error(err)
			}
			s.flushSessions()
		})
	}
}

// a written key file has the fields that programs may write.
type written struct {
	parent    int64
	rsaParent bool
	emptyAuth []byte // the BOOLEAN's contents, none if nil
	text      bool   // a description
}

// file returns the key as a file with these fields.
func (w written) file(k *fileKey) []byte {
	var b cryptobyte.Builder
	explicit := func(b *cryptobyte.Builder, tag asn1.Tag, inner func(*cryptobyte.Builder)) {
		b.AddASN1(tag.ContextSpecific().Constructed(), inner)
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(loadableKey)
		if w.emptyAuth != nil {
			explicit(b, 0, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.BOOLEAN, func(b *cryptobyte.Builder) { b.AddBytes(w.emptyAuth) })
			})
		}
		if w.text {
			explicit(b, 4, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte("the key of seals")) })
			})
		}
		if w.rsaParent {
			explicit(b, 5, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.BOOLEAN, func(b *cryptobyte.Builder) { b.AddBytes([]byte{1}) })
			})
		}
		b.AddASN1Int64(w.parent)
		b.AddASN1OctetString(tpm2.Marshal(k.public))
		b.AddASN1OctetString(tpm2.Marshal(k.private))
	})
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: b.BytesOrPanic()})
}

// makeUnder makes a key under a primary key of the owner hierarchy.
func (s *simulator) makeUnder(p primary) *fileKey {
	s.t.Helper()
	key := new(fileKey)
	s.do(func(tpm transport.TPM) {
		parent, err := newDevice(s.socket).primary(tpm, p)
		if err != nil {
			s.t.Fatal(err)
		}
		defer unload(tpm, parent.Handle)
		template, err := templateFor("ES256")
		if err != nil {
			s.t.Fatal(err)
		}
		made, err := tpm2.Create{
			ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)},
			InPublic:     tpm2.New2B(template),
		}.Execute(tpm)
		if err != nil {
			s.t.Fatal(err)
		}
		key.public, key.private = made.OutPublic, made.OutPrivate
	})
	return key
}

// Programs write the same things in several ways.
func TestKeyFilesOfOtherPrograms(t *testing.T) {
	s := newSimulator(t)
	ec, rsa := s.makeUnder(primary{hierarchy: tpm2.TPMRHOwner}), s.makeUnder(primary{tpm2.TPMRHOwner, true})
	for name, file := range map[string][]byte{
		"no emptyAuth":     written{parent: 0x40000001}.file(ec),
		"emptyAuth of 1":   written{parent: 0x40000001, emptyAuth: []byte{1}}.file(ec),
		"emptyAuth of 255": written{parent: 0x40000001, emptyAuth: []byte{0xff}}.file(ec),
		"description":      written{parent: 0x40000001, text: true}.file(ec),
		"parent of 0":      written{}.file(ec),
		"RSA parent":       written{parent: 0x40000001, rsaParent: true}.file(rsa),
		"text before":      append([]byte("a comment\n"), written{parent: 0x40000001}.file(ec)...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(s.path("key"), file, 0o600); err != nil {
				t.Fatal(err)
			}
			key, err := s.key(newDevice(s.socket), Key{File: s.path("key")}).Key(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Try(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for want, file := range map[string][]byte{
		"the key's parent 0x4000000b is neither the owner hierarchy nor a persistent key": written{parent: 0x4000000b}.file(ec),
		"the key's parent: 0x81000009: it has no key with this handle":                    written{parent: 0x81000009}.file(ec),
		"to another parent": written{parent: 0x40000001}.file(rsa),
	} {
		if err := os.WriteFile(s.path("key"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := s.key(newDevice(s.socket), Key{File: s.path("key")}).Key(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// A persistent handle may be written as a negative number, by a program that takes it for
// one of 32 bits with a sign.
func TestParentThatIsNegative(t *testing.T) {
	s := newSimulator(t)
	key := s.makeUnder(primary{hierarchy: tpm2.TPMRHOwner})
	parent := uint32(0x81000001)
	parsed, err := parseKeyFile(written{parent: int64(int32(parent))}.file(key))
	if err != nil || parsed.parent != 0x81000001 {
		t.Errorf("the parent is 0x%x (%v)", parsed.parent, err)
	}
}

// A file that is cut off, or that has other bytes, is an error, or another key.
func TestDefectiveKeyFiles(t *testing.T) {
	s := newSimulator(t)
	block, _ := pem.Decode(written{parent: 0x40000001, emptyAuth: []byte{0xff}, text: true, rsaParent: true}.file(s.makeUnder(primary{hierarchy: tpm2.TPMRHOwner})))
	for i := range block.Bytes {
		if err := new(fileKey).parse(block.Bytes[:i]); err == nil {
			t.Errorf("cut off after %d bytes, it is accepted", i)
		}
		for _, other := range []byte{0x00, 0x7f, 0x80, 0xff} {
			der := bytes.Clone(block.Bytes)
			der[i] = other
			key := new(fileKey)
			if key.parse(der) == nil {
				_, _, _ = publicKey(key.contents) // does not panic
			}
		}
	}
	if err := new(fileKey).parse(append(bytes.Clone(block.Bytes), 0)); err == nil {
		t.Error("with something after it, it is accepted")
	}
}

// A file system may hang. Here, the key file is a pipe that nobody writes to.
func TestKeyFileThatHangs(t *testing.T) {
	s := newSimulator(t)
	pipe := s.path("pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	k := s.key(newDevice(s.socket), Key{File: pipe})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := k.Key(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	file, err := os.OpenFile(pipe, os.O_WRONLY, 0) // so that what hangs goes on
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
}

// A file with an authorization value that hangs does not keep the TPM from another key.
func TestAuthorizationValueThatHangs(t *testing.T) {
	s := newSimulator(t)
	d := newDevice(s.socket)
	placeholder, set := s.fromFile()
	set(auth)
	hangs := s.make(s.key(d, Key{File: s.path("key"), Auth: placeholder}), "ES256")
	other := s.make(s.key(d, Key{File: s.path("other")}), "ES256")
	pipe := s.path("authvalue")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := hangs.Try(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("before its deadline, the error is %v", err)
	}
	soon, cancelSoon := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancelSoon()
	if err := other.Try(soon); err != nil {
		t.Errorf("another key: %v", err)
	}
	file, err := os.OpenFile(pipe, os.O_WRONLY, 0) // so that what hangs goes on
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
}
