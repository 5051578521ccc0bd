package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// maxXMLDepth bounds how deep elements may lie in each other.
const maxXMLDepth = 256

// xmlFault returns what is wrong with an XML document, nil if nothing is. The document
// must be well-formed, declare the prefixes that it uses, and have no DOCTYPE, whose
// entities could be of any size. Its encoding is UTF-8, UTF-16 with a byte-order mark, or
// ISO 8859-1.
func xmlFault(document []byte) error {
	text, err := xmlToUTF8(document)
	if err != nil {
		return err
	}
	return wellFormed(text, func(label string, from io.Reader) (io.Reader, error) {
		switch strings.ToLower(label) {
		case "utf-16":
			return from, nil // it is UTF-8 by now
		case "us-ascii":
			return from, nil
		case "iso-8859-1":
			return &latin1Reader{from}, nil
		}
		return nil, fmt.Errorf("the encoding %s is not supported", abridged(label))
	})
}

// xmlTextFault is xmlFault for a document that is text already: the encoding that it
// declares does not matter.
func xmlTextFault(document string) error {
	return wellFormed([]byte(document), func(_ string, from io.Reader) (io.Reader, error) { return from, nil })
}

// xmlToUTF8 converts UTF-16 and removes the byte-order mark (XML 1.0, appendix F.1).
func xmlToUTF8(document []byte) ([]byte, error) {
	for mark, order := range map[string]binary.ByteOrder{"\xfe\xff": binary.BigEndian, "\xff\xfe": binary.LittleEndian} {
		rest, ok := bytes.CutPrefix(document, []byte(mark))
		if !ok {
			continue
		}
		if len(rest)%2 != 0 {
			return nil, errors.New("it is not UTF-16")
		}
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = order.Uint16(rest[2*i:])
		}
		return []byte(string(utf16.Decode(units))), nil
	}
	return bytes.TrimPrefix(document, []byte("\ufeff")), nil
}

// A latin1Reader reads ISO 8859-1 as UTF-8.
type latin1Reader struct{ from io.Reader }

func (l *latin1Reader) Read(p []byte) (int, error) {
	half := make([]byte, min(len(p)/2, 4096)) // a character takes two bytes at most
	n, err := l.from.Read(half)
	text := p[:0]
	for _, c := range half[:n] {
		text = append(text, string(rune(c))...)
	}
	return len(text), err
}

// wellFormed returns why text is not a well-formed XML document.
func wellFormed(text []byte, charset func(string, io.Reader) (io.Reader, error)) error {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	decoder.CharsetReader = charset
	var open xmlElements
	roots := 0
	for {
		start := decoder.InputOffset()
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(open) == 0 {
				roots++
			}
			err = open.start(token)
		case xml.EndElement:
			err = open.end(token)
		case xml.CharData:
			if len(open) == 0 && len(bytes.TrimSpace(token)) > 0 {
				err = errors.New("there is text outside of the root element")
			}
		case xml.Directive:
			err = errors.New("there is a DOCTYPE")
		case xml.ProcInst:
			if strings.EqualFold(token.Target, "xml") && start != 0 {
				err = errors.New("the XML declaration is not at the beginning")
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case len(open) > 0:
		return errors.New("it ends within an element")
	case roots != 1:
		return errors.New("there is not exactly one root element")
	}
	return nil
}

// xmlElements are the elements that have begun and not ended.
type xmlElements []xmlElement

type xmlElement struct {
	name     xml.Name // with its prefix as Space
	prefixes []string // that it declares
}

func (e *xmlElements) start(element xml.StartElement) error {
	if len(*e) == maxXMLDepth {
		return errors.New("its elements lie too deep in each other")
	}
	next := xmlElement{name: element.Name}
	seen := make(map[xml.Name]bool, len(element.Attr))
	for _, attribute := range element.Attr {
		if seen[attribute.Name] {
			return errors.New("an element has an attribute twice")
		}
		seen[attribute.Name] = true
		if attribute.Name.Space == "xmlns" {
			next.prefixes = append(next.prefixes, attribute.Name.Local)
		}
	}
	*e = append(*e, next)
	if !e.declares(element.Name.Space) {
		return fmt.Errorf("the prefix %q is not declared", abridged(element.Name.Space))
	}
	for name := range seen {
		if name.Space != "xmlns" && !e.declares(name.Space) {
			return fmt.Errorf("the prefix %q is not declared", abridged(name.Space))
		}
	}
	return nil
}

func (e *xmlElements) end(element xml.EndElement) error {
	last := len(*e) - 1
	if last < 0 || (*e)[last].name != element.Name {
		return errors.New("an element ends that has not begun")
	}
	*e = (*e)[:last]
	return nil
}

// declares reports whether a prefix means something.
func (e *xmlElements) declares(prefix string) bool {
	if prefix == "" || prefix == "xml" {
		return true
	}
	for _, element := range *e {
		if slices.Contains(element.prefixes, prefix) {
			return true
		}
	}
	return false
}
