package pdf

// A Signature is a digital signature or a document time-stamp (ISO 32000-1,
// section 12.8; ISO 32000-2, section 12.8.5).
type Signature struct {
	ByteRange []int  // pairs of position and length: what it covers
	Contents  []byte // a CMS in DER, padded with zeros
	Timestamp bool   // it is a document time-stamp
	Dict      Dict   // its dictionary, which must not be changed
}

// contentsCost is how many bytes of a file a byte of a signature counts for, since callers
// parse it, too.
const contentsCost = 8

// End returns where what is covered ends.
func (s Signature) End() int {
	n := len(s.ByteRange)
	return s.ByteRange[n-2] + s.ByteRange[n-1]
}

// Signatures returns the signatures in the fields of the file's form, in the
// order of the form. A field that nobody has signed has none.
func (d *Document) Signatures() ([]Signature, error) {
	catalog, err := d.catalog()
	if err != nil {
		return nil, err
	}
	form, err := d.Dict(catalog["AcroForm"])
	if err != nil {
		return nil, err
	}
	w := fieldWalk{document: d, seen: make(map[Ref]bool)}
	err = w.fields(form["Fields"], nil, 0)
	return w.signatures, err
}

// A fieldWalk goes through the fields of a form.
type fieldWalk struct {
	document   *Document
	seen       map[Ref]bool
	signatures []Signature
}

// fields looks at a list of fields, which inherit a type.
func (w *fieldWalk) fields(list any, inherited any, depth int) error {
	if list == nil || depth > maxNesting {
		return nil
	}
	fields, err := w.document.array(list)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if err := w.document.budget.spend(); err != nil {
			return err
		}
		if ref, ok := f.(Ref); ok {
			if w.seen[ref] {
				continue
			}
			w.seen[ref] = true
		}
		field, err := w.document.dict(f)
		if err != nil {
			return err
		}
		if err := w.field(field, inherited, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *fieldWalk) field(field Dict, inherited any, depth int) error {
	kind, err := w.document.Resolve(field["FT"])
	if err != nil {
		return err
	}
	if kind == nil {
		kind = inherited
	}
	if kind == Name("Sig") && field["V"] != nil {
		value, err := w.document.dict(field["V"])
		if err != nil {
			return err
		}
		signature, ok, err := w.document.signature(value)
		if err != nil {
			return err
		}
		if ok {
			w.signatures = append(w.signatures, signature)
		}
	}
	return w.fields(field["Kids"], kind, depth+1)
}

// signature reads a signature dictionary, and reports whether it covers a part
// of the file.
func (d *Document) signature(value Dict) (Signature, bool, error) {
	list, err := d.array(value["ByteRange"])
	if err != nil {
		return Signature{}, false, err
	}
	contents, err := resolved[String](d, value["Contents"], "a string")
	if err != nil {
		return Signature{}, false, err
	}
	byteRange, err := integers(list)
	if err != nil {
		return Signature{}, false, err
	}
	end := 0
	for pairs := byteRange; len(pairs) > 0; pairs = pairs[2:] {
		if len(pairs) == 1 || pairs[0] < end || pairs[1] > len(d.file)-pairs[0] {
			return Signature{}, false, nil
		}
		end = pairs[0] + pairs[1]
	}
	d.budget.bytes -= contentsCost * len(contents) // many dictionaries can have the same
	s := Signature{ByteRange: byteRange, Contents: []byte(contents), Timestamp: value["SubFilter"] == Name("ETSI.RFC3161"), Dict: value}
	return s, end > 0 && len(contents) > 0, nil
}
