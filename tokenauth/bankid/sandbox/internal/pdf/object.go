package pdf

// Objects (ISO 32000-1, section 7.3) are of these types, and of nil, bool, int
// and float64.
type (
	// Name is a name, without its solidus, and with its #xx replaced.
	Name string

	// String is the bytes of a string.
	String string

	// Array is an array.
	Array []any

	// Dict is a dictionary. Entries that are null are not in it.
	Dict map[Name]any

	// Ref is an indirect reference to an object.
	Ref struct{ Number, Generation int }

	// Stream is a stream. Data is as it is in the file, with its filters.
	Stream struct {
		Dict Dict
		Data []byte
	}
)
