package pdf

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

// decode undoes the filter of a stream that carries structure: FlateDecode or
// none, as all common writers have it.
func (d *Document) decode(s *Stream) ([]byte, error) {
	filter, parameters := s.Dict["Filter"], s.Dict["DecodeParms"]
	if list, ok := filter.(Array); ok && len(list) == 1 {
		filter = list[0]
		if list, ok := parameters.(Array); ok && len(list) == 1 {
			parameters = list[0]
		}
	}
	switch list, several := filter.(Array); {
	case filter == nil, several && len(list) == 0:
		return s.Data, nil
	case filter != Name("FlateDecode"):
		return nil, errors.New("its filter is not FlateDecode")
	}
	reader, err := zlib.NewReader(bytes.NewReader(s.Data))
	if err != nil {
		return nil, fmt.Errorf("it cannot be decompressed: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(reader, int64(d.budget.inflated)+1))
	if d.budget.inflated -= len(data); d.budget.inflated < 0 {
		return nil, errors.New("it is too large when it is decompressed")
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be decompressed: %w", err)
	}
	dict, _ := parameters.(Dict)
	return unpredict(data, dict)
}

// unpredict undoes a predictor of PNG (ISO 32000-1, section 7.4.4.4; RFC 2083,
// section 6).
func unpredict(data []byte, parameters Dict) ([]byte, error) {
	predictor, _ := parameters["Predictor"].(int)
	if predictor <= 1 {
		return data, nil
	}
	columns, ok := parameters["Columns"].(int)
	if !ok {
		columns = 1
	}
	// Structure is in bytes, so that a sample has one component of eight bits.
	if predictor < 10 || columns < 1 || columns > len(data) || parameters["Colors"] != nil && parameters["Colors"] != 1 ||
		parameters["BitsPerComponent"] != nil && parameters["BitsPerComponent"] != 8 {
		return nil, errors.New("its predictor is not one of PNG's, for bytes")
	}
	above := make([]byte, columns)
	var plain []byte
	for ; len(data) > columns; data = data[columns+1:] {
		row := data[1 : columns+1]
		for i := range row {
			var left, upperLeft byte
			if i > 0 {
				left, upperLeft = row[i-1], above[i-1]
			}
			switch data[0] {
			case 0:
			case 1:
				row[i] += left
			case 2:
				row[i] += above[i]
			case 3:
				row[i] += left/2 + above[i]/2 + left&above[i]&1 // half of the sum, which may not fit
			case 4:
				row[i] += paeth(left, above[i], upperLeft)
			default:
				return nil, errors.New("a row has a filter that PNG does not have")
			}
		}
		plain = append(plain, row...)
		above = row
	}
	return plain, nil
}

func paeth(left, above, upperLeft byte) byte {
	estimate := int(left) + int(above) - int(upperLeft)
	toLeft, toAbove, toUpperLeft := distance(estimate, left), distance(estimate, above), distance(estimate, upperLeft)
	switch {
	case toLeft <= toAbove && toLeft <= toUpperLeft:
		return left
	case toAbove <= toUpperLeft:
		return above
	default:
		return upperLeft
	}
}

func distance(estimate int, from byte) int {
	return max(estimate-int(from), int(from)-estimate)
}

// An objectStream holds objects that are not streams (ISO 32000-1, section
// 7.5.7).
type objectStream struct {
	data    []byte
	numbers []int // of the objects
	offsets []int // of the objects, in data
}

// objectIn reads an object of an object stream.
func (d *Document) objectIn(container, index, number int) (any, error) {
	packed, err := d.objectStream(container)
	if err != nil {
		return nil, fmt.Errorf("in object stream %d: %w", container, err)
	}
	if index < 0 || index >= len(packed.numbers) || packed.numbers[index] != number || packed.offsets[index] > len(packed.data) {
		return nil, fmt.Errorf("it is not in object stream %d where the cross-reference says", container)
	}
	p := &parser{document: d, data: packed.data, position: packed.offsets[index]}
	defer p.charge(p.position)
	return p.value(0)
}

func (d *Document) objectStream(number int) (*objectStream, error) {
	if packed, ok := d.packed[number]; ok {
		return packed, nil
	}
	stream, err := resolved[*Stream](d, Ref{Number: number}, "a stream")
	if err != nil {
		return nil, err
	}
	count, ok := stream.Dict["N"].(int)
	first, both := stream.Dict["First"].(int)
	if stream.Dict["Type"] != Name("ObjStm") || !ok || !both || first < 0 {
		return nil, errors.New("it is another stream")
	}
	data, err := d.decode(stream)
	if err != nil {
		return nil, err
	}
	packed := &objectStream{data: data}
	p := &parser{document: d, data: data}
	defer p.charge(0)
	for range count {
		if err := d.budget.spend(); err != nil {
			return nil, err
		}
		number, ok := p.integer()
		offset, both := p.integer()
		if !ok || !both {
			return nil, errors.New("it has fewer objects than it says")
		}
		packed.numbers = append(packed.numbers, number)
		packed.offsets = append(packed.offsets, first+offset)
	}
	d.packed[number] = packed
	return packed, nil
}
