package pades

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/cms"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// maxCertificates bounds what one file asks about.
const maxCertificates = 1 << 10

// addEvidence adds a document security store (ISO 32000-2, section 12.8.4.3), or adds to
// that of the file, what is known of the certificates of all signatures.
func (e Extender) addEvidence(ctx context.Context, g *growing) error {
	document, update, err := update(g)
	if err != nil {
		return err
	}
	evidence, err := e.evidence(ctx, document)
	if err != nil {
		return err
	}
	root, catalog, err := document.Catalog()
	if err != nil {
		return err
	}
	old, err := document.Dict(catalog["DSS"])
	if err != nil {
		return fmt.Errorf("the document security store: %w", err)
	}
	store := store{document: document, update: update, dict: clone(old)}
	for _, c := range evidence.Certificates {
		err = errors.Join(err, store.add("Certs", c.Raw))
	}
	for _, o := range evidence.OCSPs {
		err = errors.Join(err, store.add("OCSPs", o))
	}
	for _, c := range evidence.CRLs {
		err = errors.Join(err, store.add("CRLs", c))
	}
	if err != nil {
		return err
	}
	if at, indirect := catalog["DSS"].(pdf.Ref); indirect && old != nil {
		update.Set(at, store.dict)
	} else {
		catalog = clone(catalog)
		catalog["DSS"] = update.Add(store.dict)
		update.Set(root, catalog)
	}
	if err := g.reserve(store.size + fileRoom); err != nil {
		return err
	}
	file, _, err := update.Append(g.data)
	if err == nil {
		g.data = file
	}
	return err
}

// evidence returns what is known of all certificates in the file's signatures, and these.
func (e Extender) evidence(ctx context.Context, document *pdf.Document) (Evidence, error) {
	signatures, err := document.Signatures()
	if err != nil {
		return Evidence{}, err
	}
	var found Evidence
	seen := make(map[[sha256.Size]byte]bool)
	for _, s := range signatures {
		contents, err := cms.Read(s.Contents)
		if err != nil {
			continue // it is no worse than before
		}
		for _, c := range contents.Certificates {
			if hash := sha256.Sum256(c.Raw); !seen[hash] {
				seen[hash] = true
				found.Certificates = append(found.Certificates, c)
			}
		}
	}
	if len(found.Certificates) > maxCertificates {
		return Evidence{}, errors.New("the signatures have too many certificates")
	}
	more, err := e.Revocation(ctx, found.Certificates)
	if err != nil {
		return Evidence{}, fmt.Errorf("the state of the certificates: %w", err)
	}
	more.Certificates = append(found.Certificates, more.Certificates...)
	return more, nil
}

// A store is a document security store to which things are added.
type store struct {
	document *pdf.Document
	update   *pdf.Update
	dict     pdf.Dict
	size     int // of what was added

	lists map[pdf.Name]map[[sha256.Size]byte]bool // what is in each list
}

// add adds a stream to a list, if it is not there.
func (s *store) add(name pdf.Name, data []byte) error {
	list, err := s.document.Array(s.dict[name])
	if err != nil {
		return fmt.Errorf("the document security store: %w", err)
	}
	if s.lists[name] == nil {
		if s.lists == nil {
			s.lists = make(map[pdf.Name]map[[sha256.Size]byte]bool)
		}
		s.lists[name] = s.hashes(list)
	}
	hash := sha256.Sum256(data)
	if s.lists[name][hash] {
		return nil
	}
	s.lists[name][hash] = true
	s.size += len(data) + 128 // with its object
	s.dict[name] = append(slices.Clip(list), s.update.Add(&pdf.Stream{Data: data}))
	return nil
}

// hashes returns the hashes of what is in a list. It leaves out what cannot be decoded,
// which may come twice then.
func (s *store) hashes(list pdf.Array) map[[sha256.Size]byte]bool {
	hashes := make(map[[sha256.Size]byte]bool)
	seen := make(map[pdf.Ref]bool)
	for _, element := range list {
		ref, ok := element.(pdf.Ref) // streams are always objects of their own
		if !ok || seen[ref] {
			continue
		}
		seen[ref] = true
		if data, err := s.document.Decode(ref); err == nil {
			hashes[sha256.Sum256(data)] = true
		}
	}
	return hashes
}
