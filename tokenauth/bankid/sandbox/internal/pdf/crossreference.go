package pdf

import (
	"bytes"
	"errors"
	"fmt"
)

// anyNumber is what objectAt takes if the number of the object is not known.
const anyNumber = -1

// Kinds of entries; those of a cross-reference stream (ISO 32000-1, section
// 7.5.8.3).
const (
	free     = 0
	inFile   = 1
	inStream = 2
)

// An entry says where an object is: at a position of the file, or as one of the
// objects of an object stream.
type entry struct {
	where      int   // position in the file, or number of the object stream
	generation int32 // or index in the object stream
	kind       byte
}

// generationNumber is the generation of the object. In a stream, it is always 0.
func (e entry) generationNumber() int {
	if e.kind == inStream {
		return 0
	}
	return int(e.generation)
}

// A section is one cross-reference table or stream, by the number of the object:
// that of the file as it was made, or of one update.
type section map[int]entry

// add adds what an older section says of other objects.
func (s section) add(older section) {
	for number, e := range older {
		if _, ok := s[number]; !ok {
			s[number] = e
		}
	}
}

// readCrossReference reads all sections, the newest first.
func (d *Document) readCrossReference() error {
	if err := d.readSections(); err != nil {
		return fmt.Errorf("the cross-reference: %w", err)
	}
	return nil
}

func (d *Document) readSections() error {
	tail := d.file[max(0, len(d.file)-tailSize):]
	start := bytes.LastIndex(tail, []byte("startxref"))
	if start < 0 {
		return errors.New("there is no startxref at the end")
	}
	p := &parser{document: d, data: tail, position: start + len("startxref")}
	position, ok := p.integer()
	if !ok {
		return errors.New("there is no position after startxref")
	}
	d.start = position
	seen := make(map[int]bool)
	for next := any(position); next != nil; {
		position, ok := next.(int)
		if !ok || seen[position] || len(seen) >= maxSections {
			return errors.New("its sections do not lead to an end")
		}
		seen[position] = true
		trailer, err := d.readSection(position)
		if err != nil {
			return err
		}
		if d.trailer == nil {
			d.trailer = trailer
		}
		next = trailer["Prev"]
	}
	return nil
}

// readSection reads a section and returns its trailer.
func (d *Document) readSection(position int) (Dict, error) {
	if position < 0 || position >= len(d.file) {
		return nil, errors.New("it is outside of the file")
	}
	p := &parser{document: d, data: d.file, position: position}
	if !p.keyword("xref") {
		return d.readSectionStream(position)
	}
	defer p.charge(position)
	table := make(section)
	for !p.keyword("trailer") {
		if err := p.subsection(table); err != nil {
			return nil, err
		}
	}
	trailer, err := p.value(0)
	if err != nil {
		return nil, fmt.Errorf("trailer: %w", err)
	}
	dict, ok := trailer.(Dict)
	if !ok {
		return nil, errors.New("the trailer is not a dictionary")
	}
	// In a hybrid file the stream has what the table hides from old readers.
	if position, ok := dict["XRefStm"].(int); ok {
		if _, err := d.readSectionStream(position); err != nil {
			return nil, err
		}
	}
	d.entries.add(table)
	return dict, nil
}

// subsection reads a part of a cross-reference table: the entries of consecutive
// objects.
func (p *parser) subsection(into section) error {
	first, ok := p.integer()
	count, both := p.integer()
	if !ok || !both {
		return errors.New("there is not a table where it should be")
	}
	for number := first; number-first < count; number++ {
		if err := p.document.budget.spend(); err != nil {
			return err
		}
		where, ok := p.integer()
		generation, both := p.integer()
		if !ok || !both {
			return errors.New("the table has fewer entries than it says")
		}
		e := entry{where: where, generation: int32(generation), kind: inFile} //nolint:gosec // of 31 bits at most
		switch {
		case p.keyword("n"):
		case p.keyword("f"):
			e.kind = free
		default:
			return errors.New("an entry of the table is neither n nor f")
		}
		into.add(section{number: e})
	}
	return nil
}

// readSectionStream reads a section that is a stream and returns its
// dictionary, which is its trailer.
func (d *Document) readSectionStream(position int) (Dict, error) {
	object, err := d.objectAt(position, anyNumber)
	if err != nil {
		return nil, err
	}
	stream, ok := object.(*Stream)
	if !ok || stream.Dict["Type"] != Name("XRef") {
		return nil, errors.New("there is neither a table nor a cross-reference stream")
	}
	data, err := d.decode(stream)
	if err != nil {
		return nil, err
	}
	s, err := d.streamSection(stream.Dict, data)
	if err != nil {
		return nil, err
	}
	d.entries.add(s)
	return stream.Dict, nil
}

// streamSection splits the data of a cross-reference stream into entries.
func (d *Document) streamSection(dict Dict, data []byte) (section, error) {
	widths, err := integers(dict["W"])
	if err != nil || len(widths) != 3 || max(widths[0], widths[1], widths[2]) > 8 {
		return nil, errors.New("the widths of its fields are wrong")
	}
	index, err := integers(dict["Index"])
	if dict["Index"] == nil {
		index, err = integers(Array{0, dict["Size"]})
	}
	if err != nil || len(index)%2 != 0 {
		return nil, errors.New("its index is wrong")
	}
	width := widths[0] + widths[1] + widths[2]
	s := make(section)
	for ; len(index) > 0; index = index[2:] {
		if width == 0 || index[1] > len(data)/width {
			return nil, errors.New("it has fewer entries than it says")
		}
		for i := range index[1] {
			if err := d.budget.spend(); err != nil {
				return nil, err
			}
			s.add(section{index[0] + i: newEntry(data[:width], widths)})
			data = data[width:]
		}
	}
	return s, nil
}

func newEntry(row []byte, widths []int) entry {
	field := func(width, otherwise int) (value int) {
		if width == 0 {
			return otherwise
		}
		for _, c := range row[:width] {
			value = value<<8 | int(c)
		}
		row = row[width:]
		return value
	}
	kind, where, generation := field(widths[0], inFile), field(widths[1], 0), field(widths[2], 0)
	if kind != inFile && kind != inStream {
		kind = free // also of a type that is not known: it is null then
	}
	return entry{kind: byte(kind), where: where, generation: int32(generation)} //nolint:gosec // what does not fit is nobody's generation
}

// integers returns an array of integers that are not negative.
func integers(value any) ([]int, error) {
	array, ok := value.(Array)
	if !ok {
		return nil, errSyntax
	}
	var list []int
	for _, element := range array {
		integer, ok := element.(int)
		if !ok || integer < 0 {
			return nil, errSyntax
		}
		list = append(list, integer)
	}
	return list, nil
}
