package pades_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// large is a file of 30 MiB, the largest that BankID takes, with many objects.
func large() []byte {
	const objects, size = 3840, 8 << 10
	data := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	plain := pdftest.Plain("Contract")
	file := bytes.NewBuffer(bytes.Clone(plain))
	var table bytes.Buffer
	for number := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", file.Len())
		fmt.Fprintf(file, "%d 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n", number+6, len(data), data)
	}
	start := file.Len()
	fmt.Fprintf(file, "xref\n6 %d\n%strailer\n<< /Size %d /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n",
		objects, table.Bytes(), objects+6, bytes.LastIndex(plain, []byte("xref\n0 ")), start)
	return file.Bytes()
}

func BenchmarkSign(b *testing.B) {
	a, file := newAuthority(b), large()
	for name, level := range map[string]pades.Level{"B": pades.B, "LTA": pades.LTA} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.at(level).Sign(b.Context(), file, details()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkExtend(b *testing.B) {
	a := newAuthority(b)
	file := sign(b, a.at(pades.B), large(), details())
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.extender().Extend(b.Context(), file); err != nil {
			b.Fatal(err)
		}
	}
}

// A file of 30 MiB takes at most three times its size, itself included.
func TestMemory(t *testing.T) {
	a, file := newAuthority(t), large()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sign(t, a.at(pades.LTA), file, details())
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, 2*uint64(len(file)); got > most {
		t.Errorf("signing allocates %d bytes, want %d at most", got, most)
	}
}
