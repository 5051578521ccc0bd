package pades

import (
	"bytes"
	"fmt"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// A Seal shows a signature on a page. Several seals stand side by side, from the lower
// left corner.
type Seal struct {
	// Lines are the text. The first four are shown, and characters beyond Latin-1
	// are shown as question marks.
	Lines []string
}

// Sizes in points.
const (
	sealWidth, sealHeight = 180.0, 56.0
	sealMargin            = 12.0
	sealLines             = 4
	sealFont              = 8.0
)

// draw adds the appearance of a seal to a field.
func (f form) draw(seal *Seal, page, field pdf.Dict) error {
	signatures, err := f.document.Signatures()
	if err != nil {
		return err
	}
	left, bottom, width, err := f.box(page)
	if err != nil {
		return err
	}
	seals := 0 // before this one
	for _, s := range signatures {
		if !s.Timestamp {
			seals++
		}
	}
	columns := max(1, int((width-sealMargin)/(sealWidth+sealMargin)))
	left += sealMargin + float64(seals%columns)*(sealWidth+sealMargin)
	bottom += sealMargin + float64(seals/columns)*(sealHeight+sealMargin)
	field["Rect"] = pdf.Array{left, bottom, left + sealWidth, bottom + sealHeight}
	font := pdf.Dict{
		"Type": pdf.Name("Font"), "Subtype": pdf.Name("Type1"),
		"BaseFont": pdf.Name("Helvetica"), "Encoding": pdf.Name("WinAnsiEncoding"),
	}
	field["AP"] = pdf.Dict{"N": f.update.Add(&pdf.Stream{
		Dict: pdf.Dict{
			"Type": pdf.Name("XObject"), "Subtype": pdf.Name("Form"),
			"BBox":      pdf.Array{0, 0, sealWidth, sealHeight},
			"Resources": pdf.Dict{"Font": pdf.Dict{"F1": f.update.Add(font)}},
		},
		Data: seal.content(),
	})}
	return nil
}

// content is the content stream of the appearance.
func (s *Seal) content() []byte {
	var c bytes.Buffer
	fmt.Fprintf(&c, "q 0.97 0.97 1 rg 0.2 0.2 0.5 RG 1 w 0.5 0.5 %v %v re B Q\n", sealWidth-1, sealHeight-1)
	fmt.Fprintf(&c, "BT /F1 %v Tf %v TL 6 %v Td\n", sealFont, sealFont*1.5, sealHeight-sealFont-6)
	for _, line := range s.Lines[:min(len(s.Lines), sealLines)] {
		fmt.Fprintf(&c, "<%X> Tj T*\n", latin1(line))
	}
	c.WriteString("ET\n")
	return c.Bytes()
}

func latin1(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r < ' ' || r > 0xff || r >= 0x7f && r < 0xa0 {
			r = '?'
		}
		out = append(out, byte(r)) //nolint:gosec // at most 0xff
	}
	return out
}

// box returns the lower left corner and the width of what is seen of a page.
func (f form) box(page pdf.Dict) (left, bottom, width float64, err error) {
	for _, name := range []pdf.Name{"CropBox", "MediaBox"} {
		value, err := f.document.Inherited(page, name)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("the size of the page: %w", err)
		}
		list, ok := value.(pdf.Array)
		if !ok || len(list) != 4 {
			continue
		}
		var corners [4]float64
		for i, element := range list {
			number, err := f.document.Resolve(element)
			if err != nil {
				return 0, 0, 0, fmt.Errorf("the size of the page: %w", err)
			}
			switch number := number.(type) {
			case int:
				corners[i] = float64(number)
			case float64:
				corners[i] = number
			}
		}
		return min(corners[0], corners[2]), min(corners[1], corners[3]), max(corners[0], corners[2]) - min(corners[0], corners[2]), nil
	}
	return 0, 0, sealWidth, nil // every page has one; the origin is a good guess
}
