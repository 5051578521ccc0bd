package pdf

import (
	"bytes"
	"errors"
	"maps"
	"slices"
)

// repair makes a cross-reference out of the objects that are in the file, as
// readers do if that of the file is broken. Of objects with the same number, the
// last one in the file counts.
func (d *Document) repair() error {
	found, err := d.scan()
	if err != nil {
		return err
	}
	d.objects, d.packed = make(map[int]any), make(map[int]*objectStream)
	d.entries, d.trailer = maps.Clone(found), make(Dict)
	inOrder := slices.SortedFunc(maps.Keys(found), func(a, b int) int { return found[a].where - found[b].where })
	var catalog any
	for _, number := range inOrder {
		object, err := d.lookUp(Ref{Number: number, Generation: int(found[number].generation)})
		if d.budget.bytes < 0 || d.budget.values < 0 {
			return err
		}
		switch object := object.(type) {
		case Dict:
			if object["Type"] == Name("Catalog") {
				catalog = Ref{Number: number, Generation: int(found[number].generation)}
			}
		case *Stream:
			d.repairStream(number, found[number].where, object)
		}
	}
	d.repairTrailer()
	if d.trailer["Root"] == nil {
		d.trailer["Root"] = catalog
	}
	if d.trailer["Root"] == nil {
		return errors.New("there is no catalog")
	}
	return nil
}

// repairStream takes over what the stream at a position says of the structure.
func (d *Document) repairStream(number, position int, stream *Stream) {
	switch stream.Dict["Type"] {
	case Name("XRef"):
		d.takeOver(stream.Dict)
	case Name("ObjStm"):
		packed, err := d.objectStream(number)
		if err != nil {
			return
		}
		for i, object := range packed.numbers {
			if e := d.entries[object]; e.kind == inFile && e.where >= position {
				continue
			}
			d.entries[object] = entry{kind: inStream, where: number, generation: int32(i)} //nolint:gosec // fewer than the bytes of the stream
			delete(d.objects, object)
		}
	}
}

// repairTrailer takes over what the trailers say.
func (d *Document) repairTrailer() {
	for rest := 0; ; {
		i := bytes.Index(d.file[rest:], []byte("trailer"))
		if i < 0 {
			return
		}
		rest += i + len("trailer")
		p := &parser{document: d, data: d.file, position: rest}
		trailer, err := p.value(0)
		p.charge(rest)
		if dict, ok := trailer.(Dict); ok && err == nil {
			d.takeOver(dict)
		}
	}
}

// takeOver takes over the entries of a trailer that matter. The catalog is the last good
// one. If trailers name none that is good, another catalog in the file is not taken for
// it: it may be of a version of the document that nobody means.
func (d *Document) takeOver(trailer Dict) {
	if trailer["Encrypt"] != nil {
		d.trailer["Encrypt"] = trailer["Encrypt"]
	}
	root, err := d.dict(trailer["Root"])
	if err == nil && root["Pages"] != nil || d.trailer["Root"] == nil {
		d.trailer["Root"] = trailer["Root"]
	}
}

// scan looks for the beginnings of objects.
func (d *Document) scan() (section, error) {
	found := make(section)
	for rest := 0; ; {
		i := bytes.Index(d.file[rest:], []byte("obj"))
		if i < 0 {
			return found, nil
		}
		end := rest + i
		rest = end + len("obj")
		before, generation, ok := numberBefore(d.file, end)
		if !ok {
			continue
		}
		if start, number, ok := numberBefore(d.file, before); ok {
			if err := d.budget.spend(); err != nil {
				return nil, err
			}
			found[number] = entry{kind: inFile, where: start, generation: int32(generation)} //nolint:gosec // of 31 bits at most
		}
	}
}

// numberBefore reads the number that ends, but for white space, at a position.
func numberBefore(file []byte, end int) (start, number int, ok bool) {
	const most = 16 // characters of white space, and of the number
	for i := 0; i < most && end > 0 && isSpace(file[end-1]); i++ {
		end--
	}
	start = end
	for start > 0 && end-start < most && file[start-1] >= '0' && file[start-1] <= '9' {
		start--
	}
	if start > 0 && isRegular(file[start-1]) {
		return 0, 0, false
	}
	p := parser{data: file[:end], position: start}
	number, ok = p.integer()
	return start, number, ok
}
