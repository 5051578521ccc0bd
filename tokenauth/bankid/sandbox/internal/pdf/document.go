// Package pdf reads the structure of PDF files (ISO 32000-1): the
// cross-reference and the objects behind it. It reads as much as it takes to
// tell whether a reader could open a file, and whether the file is encrypted or
// signed.
//
// Files may come from anybody. Time and memory are bounded by a multiple of the
// size of the file, and what is wrong with a file is an error.
package pdf

import (
	"bytes"
	"errors"
	"fmt"
)

// Bounds of what is read for one file. No file that a person signs comes near.
const (
	maxInflated  = 32 << 20 // bytes of all streams that are read
	maxValues    = 1 << 20  // entries of the cross-reference, values in all objects that are read, and fields
	maxSections  = 1 << 10  // sections of the cross-reference
	maxNesting   = 64       // of arrays and dictionaries, of references, and of pages
	maxReadings  = 16       // times the size of the file, of all bytes that are parsed
	spareReading = 1 << 20  // bytes that are parsed in addition, for small files
)

// Where the header and the end of a file are looked for: Adobe's implementation
// notes 13 and 18 (PDF Reference 1.7, appendix H).
const headSize, tailSize = 1024, 1024

// A Document is an open PDF file.
type Document struct {
	file    []byte  // from its header on
	entries section // of all sections of the cross-reference
	trailer Dict
	start   int // of the newest section of the cross-reference
	page    any // refers to the first page

	skipped  int   // bytes before the header
	repaired error // what was wrong with the cross-reference

	objects map[int]any           // that were read, by number
	packed  map[int]*objectStream // that were read, by number
	depth   int                   // of look-ups within look-ups
	budget  budget
}

// A budget is what is left to be read.
type budget struct{ bytes, values, inflated int }

// spend takes one value off the budget. It returns an error if nothing is left.
func (b *budget) spend() error {
	if b.values--; b.values < 0 || b.bytes < 0 {
		return errors.New("the file is too complex")
	}
	return nil
}

// Open reads the cross-reference of a file and finds its first page. If it cannot,
// it makes a cross-reference of its own, as readers do. The file must not change as
// long as the document is in use. The first page of an encrypted file is not looked
// for.
func Open(file []byte) (*Document, error) {
	start := bytes.Index(file[:min(len(file), headSize)], []byte("%PDF-"))
	if start < 0 {
		return nil, errors.New("there is no header")
	}
	d := &Document{
		file:    file[start:],
		skipped: start,
		entries: make(section),
		objects: make(map[int]any),
		packed:  make(map[int]*objectStream),
		budget:  budget{bytes: maxReadings*len(file) + spareReading, values: maxValues, inflated: maxInflated},
	}
	broken := d.readCrossReference()
	if broken == nil {
		broken = d.findFirstPage()
	}
	if broken != nil {
		d.repaired = broken
		if d.repair() != nil || d.findFirstPage() != nil {
			return nil, broken
		}
	}
	return d, nil
}

// findFirstPage follows the way from the trailer to a page.
func (d *Document) findFirstPage() error {
	if d.Encrypted() {
		return nil
	}
	catalog, err := d.catalog()
	if err != nil {
		return fmt.Errorf("the catalog: %w", err)
	}
	if d.page, err = d.findPage(catalog["Pages"], 0); err != nil {
		return fmt.Errorf("the page tree: %w", err)
	}
	return nil
}

// Encrypted reports whether the file needs a password or a key, be it an empty
// one.
func (d *Document) Encrypted() bool { return d.trailer["Encrypt"] != nil }

func (d *Document) catalog() (Dict, error) { return d.dict(d.trailer["Root"]) }

// findPage looks for a page in the tree below node, and returns what refers to it.
func (d *Document) findPage(node any, depth int) (any, error) {
	if depth > maxNesting {
		return nil, errors.New("it is too deep")
	}
	dict, err := d.dict(node)
	if err != nil {
		return nil, err
	}
	kids, ok := dict["Kids"]
	if !ok {
		if depth == 0 {
			return nil, errors.New("it has no pages")
		}
		return node, nil
	}
	list, err := d.array(kids)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, errors.New("it has no pages")
	}
	return d.findPage(list[0], depth+1)
}

// FirstPage returns the first page and what refers to it. The page must not be changed.
func (d *Document) FirstPage() (Ref, Dict, error) { return d.indirect(d.page, "the first page") }

// Catalog returns the catalog and what refers to it. The catalog must not be changed.
func (d *Document) Catalog() (Ref, Dict, error) { return d.indirect(d.trailer["Root"], "the catalog") }

func (d *Document) indirect(value any, name string) (Ref, Dict, error) {
	ref, ok := value.(Ref)
	if !ok {
		return Ref{}, nil, fmt.Errorf("%s is not an indirect object", name)
	}
	dict, err := d.dict(ref)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return ref, dict, err
}

// Inherited returns an attribute of a page, which may be one of a node above it (ISO
// 32000-1, section 7.7.3.4), or nil.
func (d *Document) Inherited(page Dict, name Name) (any, error) {
	for range maxNesting {
		if page[name] != nil {
			return d.Resolve(page[name])
		}
		if page["Parent"] == nil {
			return nil, nil
		}
		var err error
		if page, err = d.dict(page["Parent"]); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the page tree is too deep")
}

// Resolve returns what a value is: the object behind it if it is a [Ref], and
// otherwise the value itself. An object that the file does not have is nil, as
// ISO 32000-1, section 7.3.10, has it.
func (d *Document) Resolve(value any) (any, error) {
	for range maxNesting {
		ref, ok := value.(Ref)
		if !ok {
			return value, nil
		}
		var err error
		if value, err = d.lookUp(ref); err != nil {
			return nil, fmt.Errorf("object %d: %w", ref.Number, err)
		}
	}
	return nil, errors.New("references lead to references")
}

func (d *Document) dict(value any) (Dict, error) { return resolved[Dict](d, value, "a dictionary") }

// Dict resolves a value to a dictionary, which must not be changed. It is nil if there is
// none, or if the file does not have the object.
func (d *Document) Dict(value any) (Dict, error) {
	value, err := d.Resolve(value)
	if value == nil || err != nil {
		return nil, err
	}
	return d.dict(value)
}

func (d *Document) array(value any) (Array, error) { return resolved[Array](d, value, "an array") }

// Array resolves a value to an array, which must not be changed. It is nil if there is
// none, or if the file does not have the object.
func (d *Document) Array(value any) (Array, error) {
	value, err := d.Resolve(value)
	if value == nil || err != nil {
		return nil, err
	}
	return d.array(value)
}

// Decode resolves a value to a stream, and returns its data. It knows the filter
// FlateDecode only.
func (d *Document) Decode(value any) ([]byte, error) {
	stream, err := resolved[*Stream](d, value, "a stream")
	if err != nil {
		return nil, err
	}
	return d.decode(stream)
}

// resolved resolves a value that has to be of one type.
func resolved[T any](d *Document, value any, name string) (T, error) {
	value, err := d.Resolve(value)
	typed, ok := value.(T)
	if err == nil && !ok {
		err = fmt.Errorf("there is something other than %s", name)
	}
	return typed, err
}

// lookUp reads an object, or returns it if it was read before.
func (d *Document) lookUp(ref Ref) (any, error) {
	if ref.Generation != d.entries[ref.Number].generationNumber() {
		return nil, nil // it does not exist
	}
	if object, ok := d.objects[ref.Number]; ok {
		return object, nil
	}
	if d.depth++; d.depth > maxNesting {
		return nil, errors.New("it needs too many others")
	}
	defer func() { d.depth-- }()
	object, err := d.readObject(ref)
	if err == nil {
		d.objects[ref.Number] = object
	}
	return object, err
}

func (d *Document) readObject(ref Ref) (any, error) {
	switch e := d.entries[ref.Number]; e.kind {
	case inFile:
		return d.objectAt(e.where, ref.Number)
	case inStream:
		return d.objectIn(e.where, int(e.generation), ref.Number)
	default:
		return nil, nil // free
	}
}

// objectAt reads the object with that number at a position of the file.
func (d *Document) objectAt(position, number int) (any, error) {
	if position < 0 || position >= len(d.file) {
		return nil, errors.New("it is outside of the file")
	}
	p := &parser{document: d, data: d.file, position: position}
	defer p.charge(position)
	got, ok := p.integer()
	if _, generation := p.integer(); !ok || !generation || !p.keyword("obj") || got != number && number != anyNumber {
		return nil, errors.New("it is not where the cross-reference says")
	}
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if dict, ok := value.(Dict); ok && p.keyword("stream") {
		stream, err := p.stream(dict)
		if err != nil {
			return nil, err
		}
		return stream, nil
	}
	if !p.keyword("endobj") {
		return nil, errors.New("it has no end")
	}
	return value, nil
}
