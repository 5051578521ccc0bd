package pdf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// maxNumber is the largest number of an object that Adobe's readers take: ISO 32000-1,
// annex C.2.
const maxNumber = 8_388_607

// maxSize is the largest file that a cross-reference table can have: ISO 32000-1,
// section 7.5.4.
const maxSize = 9_999_999_999

// An Update is an incremental update of a file (ISO 32000-1, section 7.5.6): objects that
// are new, or that stand in for those with the same number.
type Update struct {
	document *Document
	objects  map[Ref]any
	next     int // number of the next object
}

// NewUpdate begins an update of a file, which must neither be encrypted, nor have needed
// a repair, nor have bytes before its header: readers disagree about such files.
func (d *Document) NewUpdate() (*Update, error) {
	switch {
	case d.Encrypted():
		return nil, errors.New("the file is encrypted")
	case d.repaired != nil:
		return nil, fmt.Errorf("the file is broken: %w", d.repaired)
	case d.skipped > 0:
		return nil, errors.New("the file does not begin with its header")
	}
	next, _ := d.trailer["Size"].(int)
	for number := range d.entries {
		next = max(next, number+1)
	}
	if next < 1 || next > maxNumber {
		return nil, errors.New("the file has too many objects")
	}
	return &Update{document: d, objects: make(map[Ref]any), next: next}, nil
}

// Add adds an object and returns what refers to it.
func (u *Update) Add(value any) Ref {
	ref := Ref{Number: u.next}
	u.next++
	u.objects[ref] = value
	return ref
}

// Set replaces an object, or adds one.
func (u *Update) Set(ref Ref, value any) { u.objects[ref] = value }

// Append appends the update to the file, and returns the new file and where in it each
// object of the update is.
func (u *Update) Append(file []byte) ([]byte, map[Ref]int, error) {
	if u.next > maxNumber || len(file) > maxSize {
		return nil, nil, errors.New("the file has too many objects, or is too large")
	}
	if last := file[len(file)-1]; last != '\n' && last != '\r' {
		file = append(file, '\n')
	}
	refs := slices.SortedFunc(maps.Keys(u.objects), func(a, b Ref) int { return a.Number - b.Number })
	places := make(map[Ref]int, len(refs))
	for _, ref := range refs {
		places[ref] = len(file)
		file = appendObject(file, ref, u.objects[ref])
	}
	trailer := Dict{"Size": u.next, "Root": u.document.trailer["Root"], "Prev": u.document.start}
	for _, name := range []Name{"Info", "ID"} {
		if value := u.document.trailer[name]; value != nil {
			trailer[name] = value
		}
	}
	start := len(file)
	if u.document.trailer["Type"] == Name("XRef") {
		file = u.appendStream(file, refs, places, trailer)
	} else {
		file = appendTable(file, refs, places, trailer)
	}
	return fmt.Appendf(file, "startxref\n%d\n%%%%EOF\n", start), places, nil
}

// consecutive splits references into runs of numbers.
func consecutive(refs []Ref) [][]Ref {
	var runs [][]Ref
	for i, ref := range refs {
		if i == 0 || refs[i-1].Number+1 != ref.Number {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], ref)
	}
	return runs
}

func appendTable(file []byte, refs []Ref, places map[Ref]int, trailer Dict) []byte {
	file = append(file, "xref\n"...)
	for _, run := range consecutive(refs) {
		file = fmt.Appendf(file, "%d %d\n", run[0].Number, len(run))
		for _, ref := range run {
			file = fmt.Appendf(file, "%010d %05d n \n", places[ref], ref.Generation)
		}
	}
	return append(appendValue(append(file, "trailer\n"...), trailer), '\n')
}

// appendStream appends a cross-reference stream, which has an entry of its own.
func (u *Update) appendStream(file []byte, refs []Ref, places map[Ref]int, trailer Dict) []byte {
	own := Ref{Number: u.next}
	places[own] = len(file)
	runs := consecutive(append(refs, own))
	var data []byte
	index := make(Array, 0, 2*len(runs))
	for _, run := range runs {
		index = append(index, run[0].Number, len(run))
		for _, ref := range run {
			data = binary.BigEndian.AppendUint64(append(data, inFile), uint64(places[ref])) //nolint:gosec // a position
			data = binary.BigEndian.AppendUint16(data, uint16(ref.Generation))              //nolint:gosec // at most 65,535 in a valid file
		}
	}
	trailer["Type"], trailer["Size"] = Name("XRef"), own.Number+1
	trailer["W"], trailer["Index"] = Array{1, 8, 2}, index
	return appendObject(file, own, &Stream{Dict: trailer, Data: data})
}
