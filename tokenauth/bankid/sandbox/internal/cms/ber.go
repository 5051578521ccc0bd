package cms

import (
	"encoding/asn1"
	"errors"
)

// maxBERNesting bounds how deep an encoding is nested; a CMS needs a dozen.
const maxBERNesting = 64

var errBER = errors.New("the encoding is not BER")

// ToDER returns BER with definite lengths, and with strings of octets in one
// piece, so that encoding/asn1 can read it (ITU-T X.690, sections 8.1.3, 8.7 and
// 10). Many a CMS comes with indefinite lengths.
func ToDER(ber []byte) ([]byte, error) {
	der, rest, err := reencode(ber, 0)
	if err == nil && len(rest) > 0 {
		err = errBER
	}
	return der, err
}

// reencode is ToDER for the first value of an encoding, and returns the rest.
func reencode(ber []byte, depth int) (der, rest []byte, err error) {
	header, length, rest, err := berHeader(ber)
	if err != nil || depth > maxBERNesting {
		return nil, nil, errBER
	}
	constructed := header[0]&0x20 != 0
	content := rest
	switch {
	case length >= 0:
		content, rest = rest[:length], rest[length:]
	case !constructed:
		return nil, nil, errBER
	}
	if constructed {
		var after []byte
		if content, after, err = reencodeAll(content, length < 0, header[0] == asn1.TagOctetString|0x20, depth+1); err != nil {
			return nil, nil, err
		}
		if length < 0 {
			rest = after
		}
		if header[0] == asn1.TagOctetString|0x20 {
			header = []byte{asn1.TagOctetString}
		}
	}
	return append(derLength(header, len(content)), content...), rest, nil
}

// reencodeAll is ToDER for all values in the content of another, which ends with
// the encoding, or if open, with an end of contents. If they are pieces of a
// string, only their octets are returned.
func reencodeAll(content []byte, open, pieces bool, depth int) (all, rest []byte, err error) {
	for len(content) > 0 || open {
		if open && len(content) >= 2 && content[0] == 0 && content[1] == 0 {
			return all, content[2:], nil
		}
		var value []byte
		if value, content, err = reencode(content, depth); err != nil {
			return nil, nil, err
		}
		if pieces {
			var octets []byte
			if _, err := asn1.Unmarshal(value, &octets); err != nil {
				return nil, nil, errBER
			}
			value = octets
		}
		all = append(all, value...)
	}
	return all, nil, nil
}

// berHeader splits the first value of an encoding into its identifier, the
// length of its content, which is negative if it is indefinite, and what follows.
func berHeader(ber []byte) (identifier []byte, length int, rest []byte, err error) {
	end := 1
	if len(ber) > 0 && ber[0]&0x1f == 0x1f { // a tag of several octets
		for end < len(ber) && ber[end]&0x80 != 0 {
			end++
		}
		end++
	}
	if end >= len(ber) {
		return nil, 0, nil, errBER
	}
	identifier, ber = ber[:end:end], ber[end:]
	length, ber = int(ber[0]), ber[1:]
	switch octets := length & 0x7f; {
	case length == 0x80:
		return identifier, -1, ber, nil
	case length > 0x80:
		if octets > 4 || octets > len(ber) {
			return nil, 0, nil, errBER
		}
		length = 0
		for _, octet := range ber[:octets] {
			length = length<<8 | int(octet)
		}
		ber = ber[octets:]
	}
	if length > len(ber) {
		return nil, 0, nil, errBER
	}
	return identifier, length, ber, nil
}

// derLength appends the length of a content to an identifier.
func derLength(identifier []byte, length int) []byte {
	if length < 0x80 {
		return append(identifier, byte(length)) //nolint:gosec // of seven bits
	}
	var octets []byte
	for n := length; n > 0; n >>= 8 {
		octets = append([]byte{byte(n)}, octets...)
	}
	return append(append(identifier, 0x80|byte(len(octets))), octets...) //nolint:gosec // of four octets at most
}
