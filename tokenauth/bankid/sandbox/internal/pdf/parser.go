package pdf

import (
	"bytes"
	"errors"
	"strconv"
)

// A parser reads objects from a piece of a file.
type parser struct {
	document *Document
	data     []byte
	position int
}

var errSyntax = errors.New("it is not written as an object is")

// charge takes what was read since start off the budget.
func (p *parser) charge(start int) {
	p.document.budget.bytes -= p.position - start
}

func isSpace(c byte) bool {
	return c == 0 || c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' '
}

func isDelimiter(c byte) bool { return bytes.IndexByte([]byte("()<>[]{}/%"), c) >= 0 }

func isRegular(c byte) bool { return !isSpace(c) && !isDelimiter(c) }

// peek returns the next byte, and 0 at the end.
func (p *parser) peek() byte {
	if p.position < len(p.data) {
		return p.data[p.position]
	}
	return 0
}

// skipSpace skips white space and comments.
func (p *parser) skipSpace() {
	for p.position < len(p.data) {
		switch c := p.data[p.position]; {
		case c == '%':
			end := bytes.IndexAny(p.data[p.position:], "\r\n")
			if end < 0 {
				p.position = len(p.data)
				return
			}
			p.position += end
		case isSpace(c):
			p.position++
		default:
			return
		}
	}
}

// regular returns the regular characters that come next.
func (p *parser) regular() []byte {
	start := p.position
	for p.position < len(p.data) && isRegular(p.data[p.position]) {
		p.position++
	}
	return p.data[start:p.position]
}

// keyword reads a keyword, if it is that one.
func (p *parser) keyword(want string) bool {
	p.skipSpace()
	rest, ok := bytes.CutPrefix(p.data[p.position:], []byte(want))
	if !ok || len(rest) > 0 && isRegular(rest[0]) {
		return false
	}
	p.position += len(want)
	return true
}

// integer reads an integer that is not negative, if there is one.
func (p *parser) integer() (int, bool) {
	p.skipSpace()
	const most = 20 // digits
	end := p.position
	for end < len(p.data) && end-p.position <= most && isRegular(p.data[end]) {
		end++
	}
	number, err := strconv.ParseUint(string(p.data[p.position:end]), 10, 31)
	if err != nil || end-p.position > most {
		return 0, false
	}
	p.position = end
	return int(number), true
}

// value reads an object of any type but stream.
func (p *parser) value(depth int) (any, error) {
	if err := p.document.budget.spend(); err != nil {
		return nil, err
	}
	if depth > maxNesting {
		return nil, errors.New("it is nested too deeply")
	}
	p.skipSpace()
	switch c := p.peek(); {
	case c == '/':
		return p.name()
	case c == '(':
		return p.literal()
	case c == '[':
		return p.array(depth)
	case c == '<' && p.position+1 < len(p.data) && p.data[p.position+1] == '<':
		return p.dict(depth)
	case c == '<':
		return p.hexadecimal()
	default:
		return p.other()
	}
}

// other reads a number, a reference, a boolean or null.
func (p *parser) other() (any, error) {
	if number, ok := p.integer(); ok {
		after := p.position
		if generation, ok := p.integer(); ok && p.keyword("R") {
			return Ref{Number: number, Generation: generation}, nil
		}
		p.charge(after) // there may be much white space
		p.position = after
		return number, nil
	}
	switch text := string(p.regular()); text {
	case "true", "false":
		return text == "true", nil
	case "null":
		return nil, nil
	default:
		return number(text)
	}
}

func number(text string) (any, error) {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return nil, errSyntax
		}
	}
	if integer, err := strconv.Atoi(text); err == nil {
		return integer, nil
	}
	real, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errSyntax
	}
	return real, nil
}

func (p *parser) name() (Name, error) {
	p.position++ // the solidus
	text := p.regular()
	if bytes.IndexByte(text, '#') < 0 {
		return Name(text), nil
	}
	var name []byte
	for i := 0; i < len(text); i++ {
		if text[i] == '#' && i+2 < len(text) {
			if c, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8); err == nil {
				name = append(name, byte(c))
				i += 2
				continue
			}
		}
		name = append(name, text[i])
	}
	return Name(name), nil
}

// literal reads a string in parentheses.
func (p *parser) literal() (String, error) {
	var text []byte
	open := 0
	for ; p.position < len(p.data); p.position++ {
		switch c := p.data[p.position]; c {
		case '(':
			if open++; open == 1 {
				continue
			}
		case ')':
			if open--; open == 0 {
				p.position++
				return String(text), nil
			}
		case '\\':
			p.position++
			text = p.escaped(text)
			continue
		}
		text = append(text, p.data[p.position])
	}
	return "", errSyntax
}

// escaped appends what stands after a reverse solidus, and stays at its last
// byte.
func (p *parser) escaped(text []byte) []byte {
	switch c := p.peek(); c {
	case 'n':
		return append(text, '\n')
	case 'r':
		return append(text, '\r')
	case 't':
		return append(text, '\t')
	case 'b':
		return append(text, '\b')
	case 'f':
		return append(text, '\f')
	case '\r': // the string goes on in the next line
		if p.position+1 < len(p.data) && p.data[p.position+1] == '\n' {
			p.position++
		}
		return text
	case '\n':
		return text
	default:
		octal, digits := 0, 0
		for digits < 3 && p.peek() >= '0' && p.peek() <= '7' {
			octal = octal<<3 | int(p.peek()-'0')
			digits++
			p.position++
		}
		if digits == 0 {
			return append(text, c)
		}
		p.position--
		return append(text, byte(octal)) //nolint:gosec // high-order overflow is ignored: ISO 32000-1, section 7.3.4.2
	}
}

// hexadecimal reads a string in angle brackets.
func (p *parser) hexadecimal() (String, error) {
	p.position++ // the bracket
	var text []byte
	half, high := false, byte(0)
	for ; p.position < len(p.data); p.position++ {
		c := p.data[p.position]
		switch {
		case isSpace(c):
			continue
		case c == '>':
			p.position++
			if half {
				text = append(text, high<<4)
			}
			return String(text), nil
		}
		digit, err := strconv.ParseUint(string(c), 16, 8)
		if err != nil {
			return "", errSyntax
		}
		if half {
			text = append(text, high<<4|byte(digit))
		}
		half, high = !half, byte(digit)
	}
	return "", errSyntax
}

func (p *parser) array(depth int) (Array, error) {
	p.position++ // the bracket
	array := Array{}
	for {
		p.skipSpace()
		if p.peek() == ']' {
			p.position++
			return array, nil
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
}

func (p *parser) dict(depth int) (Dict, error) {
	p.position += 2 // the brackets
	dict := make(Dict)
	for {
		p.skipSpace()
		switch {
		case bytes.HasPrefix(p.data[p.position:], []byte(">>")):
			p.position += 2
			return dict, nil
		case p.peek() != '/':
			return nil, errSyntax
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if value != nil {
			dict[name] = value
		}
	}
}

// stream reads the bytes of a stream, after its keyword.
func (p *parser) stream(dict Dict) (*Stream, error) {
	if p.peek() == '\r' {
		p.position++
	}
	if p.peek() == '\n' {
		p.position++
	}
	start := p.position
	length, err := resolved[int](p.document, dict["Length"], "a length")
	if err == nil && length >= 0 && length <= len(p.data)-start {
		p.position += length
		if p.keyword("endstream") {
			return &Stream{Dict: dict, Data: p.data[start : start+length]}, nil
		}
		p.charge(start + length)
	}
	// The length is wrong, as that of many a file. Readers look for the end.
	length = bytes.Index(p.data[start:], []byte("endstream"))
	if length < 0 {
		p.position = len(p.data)
		return nil, errors.New("it has no end")
	}
	p.position = start + length + len("endstream")
	return &Stream{Dict: dict, Data: p.data[start : start+length]}, nil
}
