package fleet

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The gateways do not read entries of 200 MiB under the names of their own, and replace them.
func TestEntriesThatAreLarge(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1+len(promises)+len(excuses), 2*sharing)
	storage := newFiles(f)
	b := newBench(f).on(storage)
	var figures figures
	defer func() { t.Logf("\n%s", &figures) }()
	defer figures.add("`file_system` with entries of 200 MiB", b)
	b.cold(1)
	usual := b.memory(0)
	b.stop()
	large := 0
	err := filepath.WalkDir(filepath.Join(storage.dir, "tokenauth"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		large++
		return os.Truncate(name, 200<<20)
	})
	if err != nil || large < 2 {
		t.Fatalf("%d entries: %v", large, err)
	}
	b.launchAll(b.sharers()...)
	wait := b.all(b.sharers()...)
	b.figure(wait < coldWait, "the first calls waited %v", wait.Round(10*time.Millisecond))
	b.requests("with large entries", len(b.bank.asked()), sharing)
	most := 0
	for _, i := range b.sharers() {
		most = max(most, b.memory(i))
	}
	b.figure(most < usual+100, "at most %d MiB of memory, usually %d", most, usual)
	b.warm(0)
}
