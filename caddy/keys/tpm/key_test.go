package tpm

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func TestKeysOfEveryKindSign(t *testing.T) {
	s := newSimulator(t)
	for alg, handles := range map[string][2]string{
		"ES256": {"0x81000256", "0x81010256"}, "ES384": {"0x81000384", "0x81010384"},
		"ES512": {"0x81000521", "0x81010521"}, "RS256": {"0x81002048", "0x81012048"},
	} {
		for name, k := range map[string]Key{
			"file": {File: s.path(alg)}, "handle": {Handle: handles[0]},
			"file with auth": {File: s.path("auth-" + alg), Auth: auth}, "handle with auth": {Handle: handles[1], Auth: auth},
		} {
			t.Run(alg+" "+name, func(t *testing.T) {
				made, err := s.key(newDevice(s.socket), k).MakeKey(t.Context(), alg)
				if err != nil {
					t.Fatal(err)
				}
				public, err := made.Public()
				if err != nil || !strings.Contains(string(public), `"alg":"`+alg+`"`) || strings.Contains(string(public), `"d"`) {
					t.Fatalf("its public half is %s (%v)", public, err)
				}
				found, err := s.key(newDevice(s.socket), k).Key(t.Context(), "kid-1")
				if err != nil || found.Thumbprint() != made.Thumbprint() || found.ID() != "kid-1" {
					t.Fatalf("found is %v with the kid %s (%v), want %v", found, found.ID(), err, made)
				}
				for range 2 {
					if err := found.Try(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if n := s.left(); n != 0 {
					t.Errorf("%d keys or sessions are left in the TPM", n)
				}
				if _, err := s.key(newDevice(s.socket), k).MakeKey(t.Context(), alg); err == nil || !strings.Contains(err.Error(), "already") {
					t.Errorf("made again, the error is %v", err)
				}
				if k.File == "" {
					return
				}
				if info, err := os.Stat(k.File); err != nil || info.Mode() != fs.FileMode(0o600) {
					t.Errorf("its file has the mode %v (%v)", info.Mode(), err)
				}
			})
		}
	}
}

// The JWKS of a key made for PS256 would say RS256, which the gateway prefers.
func TestKeyOfAnotherAlgorithmIsNotMade(t *testing.T) {
	k := &Key{File: "/absent/key", Device: "/absent/tpm"}
	k.use(newDevice(k.Device))
	if _, err := k.MakeKey(t.Context(), "PS256"); err == nil || !strings.Contains(err.Error(), "use ES256, ES384, ES512 or RS256") {
		t.Errorf("error is %v", err)
	}
}

func TestHandleOfTheFirmwareIsNotTaken(t *testing.T) {
	k := &Key{Handle: "0x81800000", Device: "/absent/tpm"}
	k.use(newDevice(k.Device))
	if _, err := k.MakeKey(t.Context(), "ES256"); err == nil || !strings.Contains(err.Error(), "give one from 0x81000000 to 0x817fffff") {
		t.Errorf("error is %v", err)
	}
}

// signerOf returns what signs with k.
func signerOf(t testing.TB, k *Key) *signer {
	t.Helper()
	o, err := k.holder.read(t.Context(), k.device)
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := publicKey(o.area())
	if err != nil {
		t.Fatal(err)
	}
	return &signer{k, o, public}
}

func TestPSSSigns(t *testing.T) {
	s := newSimulator(t)
	k := s.key(newDevice(s.socket), Key{File: s.path("rsa")})
	s.make(k, "RS256")
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest := make([]byte, hash.Size())
		signer := signerOf(t, k)
		// It checks the signature itself.
		if _, err := signer.Sign(t.Context(), digest, &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
			t.Errorf("%v: %v", hash, err)
		}
	}
}

// Some TPMs take the longest salt that fits. Other software refuses such signatures.
func TestPSSWithAnotherSaltIsRefused(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("document"))
	opts := &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthAuto}
	signature, err := private.Sign(rand.Reader, digest[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&signer{public: private.Public()}).checkSalt(digest[:], signature, opts); !errors.Is(err, errSalt) {
		t.Errorf("error is %v", err)
	}
}

// A TPM that loses its power forgets what the gateway has loaded. Keys sign again, with no
// more than one failure.
func TestTPMThatIsRestarted(t *testing.T) {
	s := newSimulator(t)
	for name, k := range map[string]Key{
		"file": {File: s.path("key")}, "handle": {Handle: "0x81000001"}, "auth": {File: s.path("auth"), Auth: auth},
	} {
		t.Run(name, func(t *testing.T) {
			key := s.make(s.key(newDevice(s.socket), k), "ES256")
			if err := key.Try(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.stop()
			if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "the TPM ("+s.socket+"): nothing listens at") {
				t.Errorf("without power: %v", err)
			}
			s.start()
			for range 2 {
				if err := key.Try(t.Context()); err != nil {
					t.Errorf("with power again: %v", err)
				}
			}
		})
	}
}

// The first signature loads the key under its parent. The next ones load its context, which
// is faster.
func TestKeyIsDecryptedOnce(t *testing.T) {
	s := newSimulator(t)
	d, sent := s.newCounted()
	k := s.key(d, Key{File: s.path("key"), Auth: auth})
	s.make(s.key(newDevice(s.socket), *k), "ES256")
	for range 3 {
		key, err := k.Key(t.Context(), "") // as for each token
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Try(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for command, want := range map[tpm2.TPMCC]int{tpm2.TPMCCSign: 3, tpm2.TPMCCLoad: 1, tpm2.TPMCCCreatePrimary: 2} {
		if n := sent.of(command); n != want {
			t.Errorf("the command 0x%x was sent %d times, want %d", command, n, want)
		}
	}
}

// Another file under the same name is another key.
func TestKeyFileThatIsReplaced(t *testing.T) {
	s := newSimulator(t)
	k := s.key(newDevice(s.socket), Key{File: s.path("key")})
	first := s.make(k, "ES256")
	second := s.make(s.key(newDevice(s.socket), Key{File: s.path("new")}), "ES256")
	if err := os.Rename(s.path("new"), s.path("key")); err != nil {
		t.Fatal(err)
	}
	found, err := k.Key(t.Context(), "")
	if err != nil || found.Thumbprint() != second.Thumbprint() {
		t.Errorf("found is %v (%v), want %v", found, err, second)
	}
	for _, key := range []*tokenauth.Key{first, found} { // a token may still be bound to the first
		if err := key.Try(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestHandleWithAnotherKey(t *testing.T) {
	s := newSimulator(t)
	k := s.key(newDevice(s.socket), Key{Handle: "0x81000001"})
	key := s.make(k, "ES256")
	s.do(func(tpm transport.TPM) {
		found, err := persistent(0x81000001).find(tpm)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.EvictControl{
			Auth: tpm2.TPMRHOwner, ObjectHandle: tpm2.NamedHandle{Handle: 0x81000001, Name: found.name}, PersistentHandle: 0x81000001,
		}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
	})
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), errVacant.Error()) {
		t.Errorf("without a key: %v", err)
	}
	s.make(s.key(newDevice(s.socket), Key{Handle: "0x81000001", Auth: auth}), "ES256")
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), errReplaced.Error()) {
		t.Errorf("with another key: %v", err)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	s, other := newSimulator(t), newSimulator(t)
	s.make(s.key(newDevice(s.socket), Key{File: s.path("key")}), "ES256")
	if err := os.WriteFile(s.path("other.pem"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key  Key
		want string
	}{
		"device":      {Key{Device: "/dev/absent", File: s.path("key")}, "there is no /dev/absent: look whether the machine has a TPM"},
		"no device":   {Key{Device: "/etc/hostname", File: s.path("key")}, "/etc/hostname is neither a character device nor a socket"},
		"no listener": {Key{Device: "127.0.0.1:1", File: s.path("key")}, "nothing listens at 127.0.0.1:1"},
		"no TPM":      {Key{Device: "/dev/zero", File: s.path("key")}, "what it responds is not the response of a TPM"},
		"file":        {Key{Device: s.socket, File: s.path("absent")}, "the key file cannot be read: open " + s.path("absent") + ": no such file"},
		"not PEM":     {Key{Device: s.socket, File: "/etc/hostname"}, "/etc/hostname is not a usable key file: it is not PEM"},
		"other PEM":   {Key{Device: s.socket, File: s.path("other.pem")}, `it is a PEM block of type "PRIVATE KEY", not TSS2 PRIVATE KEY`},
		"handle":      {Key{Device: s.socket, Handle: "0x81000005"}, "0x81000005: it has no key with this handle"},
		"another TPM": {Key{Device: other.socket, File: s.path("key")}, "the key file belongs to another TPM, to another parent, or to the time before this TPM was cleared"},
	} {
		t.Run(name, func(t *testing.T) {
			test.key.use(newDevice(test.key.Device))
			key, err := test.key.Key(t.Context(), "")
			if err == nil {
				err = key.Try(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
	if n := other.left(); n != 0 {
		t.Errorf("after a failure, %d keys are left in the TPM", n)
	}
}

// A program that does not use a resource manager may leave its keys in the TPM.
func TestTPMWithoutRoom(t *testing.T) {
	s := newSimulator(t)
	key := s.make(s.key(newDevice(s.socket), Key{File: s.path("key")}), "ES256")
	s.do(func(tpm transport.TPM) {
		for range 3 {
			if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(primary{}.template())}).Execute(tpm); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := key.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "it has no room for the key: other programs, or a gateway that was killed, have left keys in it (tpm2_flushcontext --transient-object)") {
		t.Errorf("error is %v", err)
	}
	s.flushKeys()
	if err := key.Try(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOwnerHierarchyWithAPassword(t *testing.T) {
	s := newSimulator(t)
	s.do(func(tpm transport.TPM) {
		if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("password")}}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
	})
	for _, k := range []Key{{File: s.path("key"), Auth: auth}, {Handle: "0x81000001"}} {
		if _, err := s.key(newDevice(s.socket), k).MakeKey(t.Context(), "ES256"); !errors.Is(err, errOwner) {
			t.Errorf("error is %v", err)
		}
	}
	if n := s.left(); n != 0 {
		t.Errorf("after a failure, %d keys or sessions are left in the TPM", n)
	}
}

// The authorization value does not cross the bus, neither when the key is made nor when it
// signs.
func TestAuthorizationValueDoesNotCrossTheBus(t *testing.T) {
	s := newSimulator(t)
	d, sent := s.newCounted()
	key := s.make(s.key(d, Key{File: s.path("key"), Auth: auth}), "ES256")
	if err := key.Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sent.bytes), auth) || sent.of(tpm2.TPMCCSign) != 1 {
		t.Error("it does")
	}
}

func TestAuthorizationValuesThatCannotBe(t *testing.T) {
	s := newSimulator(t)
	for value, want := range map[string]string{
		strings.Repeat("x", 33): "the authorization value has 33 bytes, and the key allows 32",
		"a\x00b":                "the authorization value has a zero byte",
		"{env.ABSENT}":          "its authorization value cannot be read: placeholder {env.ABSENT}: the environment variable is empty or not set",
	} {
		if _, err := s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: value}).MakeKey(t.Context(), "ES256"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestManyCallersShareTheTPM(t *testing.T) {
	s := newSimulator(t)
	key := s.make(s.key(newDevice(s.socket), Key{File: s.path("key")}), "ES256")
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if err := key.Try(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
}

// Another program can use the TPM between two signatures, also if that takes one connection
// only, as swtpm does, and as a device without a resource manager.
func TestAnotherProgramInBetween(t *testing.T) {
	s := newSimulator(t)
	key := s.make(s.key(newDevice(s.socket), Key{File: s.path("key"), Auth: auth}), "ES256")
	for range 2 {
		if err := key.Try(t.Context()); err != nil {
			t.Error(err)
		}
		s.tool("tpm2_createprimary", "-C", "n", "-c", "context")
		s.flushKeys()
	}
}

// It is remembered which authorization values were refused, also if another configuration
// comes in between that has no key in the TPM.
func TestDeviceStaysOverConfigurations(t *testing.T) {
	var before *device
	for range 2 {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		k := &Key{Device: "/dev/remembered", Handle: "0x81000001"}
		if err := k.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if before != nil && k.device != before {
			t.Error("it is another device")
		}
		before = k.device
		cancel()
	}
}

// Two names of one TPM are one device: one caller uses it at a time, and each value is tried
// once.
func TestLinkToADevice(t *testing.T) {
	s := newSimulator(t)
	if err := os.Symlink(s.socket, s.path("link")); err != nil {
		t.Fatal(err)
	}
	direct, err := deviceAt(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	if linked, err := deviceAt(s.path("link")); err != nil || linked != direct {
		t.Errorf("by a link, it is another device (%v)", err)
	}
}

func TestStringSaysWhereTheKeyIs(t *testing.T) {
	for want, k := range map[string]*Key{
		"the TPM (/dev/tpmrm0), key file /etc/seal.tpm": {File: "/etc/seal.tpm", Auth: auth},
		"the TPM (127.0.0.1:2321), handle 0x81000001":   {Device: "127.0.0.1:2321", Handle: "0x81000001", Auth: auth},
	} {
		if k.String() != want {
			t.Errorf("it is %s, want %s", k, want)
		}
	}
}

// A TPM may take minutes to make a key, so it does not make one that has no place.
func TestKeyFileWithoutADirectory(t *testing.T) {
	s := newSimulator(t)
	d, sent := s.newCounted()
	_, err := s.key(d, Key{File: s.path("absent/key")}).MakeKey(t.Context(), "ES256")
	if err == nil || !strings.Contains(err.Error(), "absent: no such file") || sent.of(tpm2.TPMCCCreate) != 0 {
		t.Errorf("error is %v, and the TPM has made %d keys", err, sent.of(tpm2.TPMCCCreate))
	}
}
