package sandbox

import (
	"strings"
	"testing"
)

func TestXMLFault(t *testing.T) {
	utf16 := func(text string) string { return "\xfe\xff\x00" + strings.Join(strings.Split(text, ""), "\x00") }
	for document, want := range map[string]string{
		`<a/>`: "",
		"\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><a b=\"1\" c='2'>&lt;&#248;<![CDATA[<]]></a>\n<?p x?>\n": "",
		`<x:a xmlns:x="urn:x" xml:lang="nb"><b x:c="1" c="1"/></x:a>`:                                                         "",
		"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe6\xf8\xe5</a>":                                                  "",
		utf16(`<?xml version="1.0" encoding="UTF-16"?><a/>`):                                                                  "",
		"<?xml version=\"1.0\"?><a>\xe6</a>":                                                                                  "UTF-8",
		`<?xml version="1.0" encoding="EBCDIC"?><a/>`:                                                                         "encoding EBCDIC",
		"\xff\xfe<\x00a\x00/\x00>":                                                                                            "not UTF-16",
		``:                                                                                                                    "exactly one root",
		`   `:                                                                                                                 "exactly one root",
		`<`:                                                                                                                   "EOF",
		`<<<`:                                                                                                                 "syntax error",
		`<not xml`:                                                                                                            "syntax error",
		`<a>`:                                                                                                                 "within an element",
		`<a></b>`:                                                                                                             "has not begun",
		`</a>`:                                                                                                                "has not begun",
		`<a/><b/>`:                                                                                                            "exactly one root",
		`<a/>text`:                                                                                                            "outside of the root",
		`text<a/>`:                                                                                                            "outside of the root",
		`<a b=1/>`:                                                                                                            "quoted",
		`<a b="1" b="2"/>`:                                                                                                    "twice",
		`<a>&nbsp;</a>`:                                                                                                       "entity",
		`<a>&</a>`:                                                                                                            "entity",
		`<x:a/>`:                                                                                                              `"x" is not declared`,
		`<a x:b="1"/>`:                                                                                                        `"x" is not declared`,
		`<a><b xmlns:x="urn:x"/><x:c/></a>`:                                                                                   `"x" is not declared`,
		`<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>`: "DOCTYPE",
		` <?xml version="1.0"?><a/>`:               "not at the beginning",
		"<a>\x01</a>":                              "illegal character",
		strings.Repeat("<a>", 300):                 "too deep",
	} {
		err := xmlFault([]byte(document))
		if got := message(err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%.60q: error %q, want %q", document, got, want)
		}
	}
	if err := xmlTextFault(`<?xml version="1.0" encoding="ISO-8859-15"?><a>æ</a>`); err != nil {
		t.Errorf("text with a declared encoding: %v", err)
	}
}
