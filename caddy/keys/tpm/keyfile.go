package tpm

import (
	"context"
	encasn1 "encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

const (
	// pemType is the type of the PEM block of a key file.
	pemType = "TSS2 PRIVATE KEY"

	// maxKeyFile is the longest key file, in bytes. An RSA key of 4096 bits needs 2 KiB.
	maxKeyFile = 64 << 10
)

// These are types of keys in a key file, from draft-bottomley-tpm2-keys.
var (
	loadableKey   = encasn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}
	importableKey = encasn1.ObjectIdentifier{2, 23, 133, 10, 1, 4}
	sealedData    = encasn1.ObjectIdentifier{2, 23, 133, 10, 1, 5}
)

// A keyFile is the file of a key. It implements holder.
type keyFile struct {
	path  string
	queue *tokenauth.Queue // a file system may hang

	mu   sync.Mutex
	last *fileKey // as it was last read
}

// newKeyFile returns the key file at a path.
func newKeyFile(path string) *keyFile { return &keyFile{path: path, queue: tokenauth.NewQueue(1)} }

// read implements holder. It does not use the TPM.
func (f *keyFile) read(ctx context.Context, _ *device) (object, error) {
	found := make(chan *fileKey, 1) // the call may go on when nobody waits any more
	err := f.queue.Do(ctx, func() error {
		key, err := readKeyFile(f.path)
		if err != nil {
			return err
		}
		found <- key
		return nil
	})
	if err != nil {
		return nil, err
	}
	key := <-found
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil || f.last.text != key.text {
		f.last = key
	}
	return f.last, nil // the same as long as the file does not change, since it knows a context
}

// readKeyFile reads the key file at a path.
func readKeyFile(path string) (*fileKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the key file cannot be read: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("the key file cannot be read: %w", err)
	}
	key, err := parseKeyFile(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a usable key file: %w", path, err)
	}
	return key, nil
}

// A fileKey is the key in a key file.
type fileKey struct {
	text      string // the file
	parent    tpm2.TPMHandle
	rsaParent bool // if parent is a hierarchy, its RSA key is the parent
	public    tpm2.TPM2BPublic
	private   tpm2.TPM2BPrivate
	contents  *tpm2.TPMTPublic // those of public

	loader loader // for the caller whose turn it is
}

// parseKeyFile reads a key file.
func parseKeyFile(text []byte) (*fileKey, error) {
	if len(text) > maxKeyFile {
		return nil, errors.New("it is too long")
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("it is not PEM")
	case block.Type != pemType:
		return nil, fmt.Errorf("it is a PEM block of type %.40q, not %s", block.Type, pemType)
	}
	key := &fileKey{text: string(text)}
	if err := key.parse(block.Bytes); err != nil {
		return nil, err
	}
	return key, nil
}

// errDER is the error if a key file has another structure.
var errDER = errors.New("its contents are not those of a " + pemType)

// parse reads a TPMKey:
//
//	TPMKey ::= SEQUENCE {
//	    type        OBJECT IDENTIFIER,
//	    emptyAuth   [0] EXPLICIT BOOLEAN OPTIONAL,
//	    policy      [1] EXPLICIT SEQUENCE OF TPMPolicy OPTIONAL,
//	    secret      [2] EXPLICIT OCTET STRING OPTIONAL,
//	    authPolicy  [3] EXPLICIT SEQUENCE OF TPMAuthPolicy OPTIONAL,
//	    description [4] EXPLICIT UTF8String OPTIONAL,
//	    rsaParent   [5] EXPLICIT BOOLEAN OPTIONAL,
//	    parent      INTEGER,
//	    pubkey      OCTET STRING,
//	    privkey     OCTET STRING
//	}
//
// That is from draft-bottomley-tpm2-keys. A policy is not needed: only keys that can be used
// without one are supported. emptyAuth is not used either: some programs leave it out of
// the files of keys without an authorization value, and tpm2-tools 5.4 write the opposite.
func (k *fileKey) parse(der []byte) error {
	input := cryptobyte.String(der)
	var sequence, public, private cryptobyte.String
	var oid encasn1.ObjectIdentifier
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() || !sequence.ReadASN1ObjectIdentifier(&oid) {
		return errDER
	}
	switch {
	case oid.Equal(importableKey):
		return errors.New("it is a key to import (TPM2_Import); import it, and write a file of the result")
	case oid.Equal(sealedData):
		return errors.New("it is sealed data, not a key")
	case !oid.Equal(loadableKey):
		return errDER
	}
	for tag := range asn1.Tag(10) { // later versions may have more
		var element, value cryptobyte.String
		var present bool
		if !sequence.ReadOptionalASN1(&element, &present, tag.ContextSpecific().Constructed()) {
			return errDER
		}
		if present && tag == 5 {
			// Not ReadASN1Boolean: programs that use OpenSSL write 1 for true, which DER
			// does not allow.
			if !element.ReadASN1(&value, asn1.BOOLEAN) || len(value) != 1 {
				return errDER
			}
			k.rsaParent = value[0] != 0
		}
	}
	var parent int64 // some programs write it as a negative number of 32 bits
	if !sequence.ReadASN1Integer(&parent) || parent < -1<<31 || parent > 1<<32-1 ||
		!sequence.ReadASN1(&public, asn1.OCTET_STRING) || !sequence.ReadASN1(&private, asn1.OCTET_STRING) {
		return errDER
	}
	k.parent = tpm2.TPMHandle(uint32(parent)) //nolint:gosec // it has 32 bits
	if k.parent == 0 {
		k.parent = tpm2.TPMRHOwner // as the first programs wrote it
	}
	return k.parts(public, private)
}

// parts reads the public and the private part.
func (k *fileKey) parts(public, private []byte) error {
	publicPart, err := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	if err != nil {
		return errDER
	}
	if k.contents, err = publicPart.Contents(); err != nil {
		return errDER
	}
	privatePart, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](private)
	if err != nil {
		return errDER
	}
	k.public, k.private = *publicPart, *privatePart
	return nil
}

// pem returns the key as a key file. empty says that its authorization value is empty.
func (k *fileKey) pem(empty bool) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(loadableKey)
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Boolean(empty) })
		b.AddASN1Uint64(uint64(k.parent))
		b.AddASN1OctetString(tpm2.Marshal(k.public))
		b.AddASN1OctetString(tpm2.Marshal(k.private))
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// area implements object.
func (k *fileKey) area() *tpm2.TPMTPublic { return k.contents }

// identity implements object. A file that has the same key with another authorization value
// has another private part (TPM2_ObjectChangeAuth).
func (k *fileKey) identity() string { return string(k.private.Buffer) }

// load implements object.
func (k *fileKey) load(d *device, tpm transport.TPM) (loaded, func(), error) {
	key, err := k.loader.load(tpm, func() (loaded, error) { return k.loadUnderParent(d, tpm) })
	if err != nil {
		return loaded{}, nil, err
	}
	return key, func() { unload(tpm, key.Handle) }, nil
}

// loadUnderParent has the TPM decrypt the key.
func (k *fileKey) loadUnderParent(d *device, tpm transport.TPM) (loaded, error) {
	var parent loaded
	var counts bool // the parent counts wrong authorization values
	switch {
	case k.parent == tpm2.TPMRHOwner || k.parent == tpm2.TPMRHNull:
		var err error
		if parent, err = d.primary(tpm, primary{k.parent, k.rsaParent}); err != nil {
			return loaded{}, err
		}
		defer unload(tpm, parent.Handle)
	case k.parent>>24 == 0x81:
		found, err := persistent(k.parent).find(tpm)
		if err != nil {
			return loaded{}, fmt.Errorf("the key's parent: %w", err)
		}
		parent = loaded{tpm2.NamedHandle{Handle: k.parent, Name: found.name}, tpm2.TPM2BPublic{}}
		counts = !found.contents.ObjectAttributes.NoDA
	default:
		return loaded{}, fmt.Errorf("the key's parent 0x%x is neither the owner hierarchy nor a persistent key", uint32(k.parent))
	}
	var key loaded
	err := d.guard(string(parent.Name.Buffer)).use(tpm, counts, tokenauth.Secret{}, func() error {
		response, err := tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)},
			InPrivate:    k.private, InPublic: k.public,
		}.Execute(tpm)
		if err == nil {
			key = loaded{tpm2.NamedHandle{Handle: response.ObjectHandle, Name: response.Name}, k.public}
		}
		return err
	})
	switch {
	case errors.Is(err, errNoAuth):
		return loaded{}, errors.New("the key's parent has a password, which is not supported")
	case errors.Is(err, tpm2.TPMRCIntegrity), errors.Is(err, tpm2.TPMRCSize):
		return loaded{}, fmt.Errorf("the key file belongs to another TPM, to another parent, or to the time before this TPM was cleared (%w)", err)
	case err != nil:
		return loaded{}, fmt.Errorf("loading the key: %w", err)
	}
	return key, nil
}
