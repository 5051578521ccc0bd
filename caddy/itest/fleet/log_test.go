package fleet

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A logged counts what the logs of gateways say about sharing.
type logged struct {
	alone  int // "tokens are not shared"
	again  int // "tokens are shared again"
	untrue int // tokens that the logs call shared, although tokens cannot be shared
}

// launched is the message at the beginning of a process in the log of its gateway.
const launched = "launched"

// logLaunch writes to the log of gateway i that a process begins.
func (f *fleet) logLaunch(i int) {
	f.t.Helper()
	log, err := os.OpenFile(f.logFile(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.WriteString(`{"msg":"` + launched + `"}` + "\n"); err != nil {
		f.t.Fatal(err)
	}
}

// logFile is the path of gateway i's log about tokens.
func (f *fleet) logFile(i int) string {
	return filepath.Join(f.dir, "esign-"+strconv.Itoa(i))
}

// logs returns what the logs of gateways say, from their beginning.
func (f *fleet) logs(gateways ...int) (all logged) {
	f.t.Helper()
	for _, i := range gateways {
		content, err := os.ReadFile(f.logFile(i))
		if err != nil {
			f.t.Fatal(err)
		}
		one := readLog(content)
		all.alone, all.again, all.untrue = all.alone+one.alone, all.again+one.again, all.untrue+one.untrue
	}
	return all
}

// storageLines returns the lines of a gateway's log that are about its storage.
func (f *fleet) storageLines(i int) string {
	content, err := os.ReadFile(f.logFile(i))
	if err != nil {
		return err.Error()
	}
	var lines strings.Builder
	for line := range bytes.Lines(content) {
		if bytes.Contains(line, []byte(launched)) || bytes.Contains(line, []byte("the storage for tokens")) || bytes.Contains(line, []byte("not shared")) || bytes.Contains(line, []byte("shared again")) {
			lines.Write(line)
		}
	}
	return lines.String()
}

// readLog reads a log.
func readLog(content []byte) (l logged) {
	alone := false
	for line := range bytes.Lines(content) {
		var entry struct {
			Message string `json:"msg"`
			Shared  bool   `json:"shared"`
		}
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		switch entry.Message {
		case launched:
			alone = false
		case "tokens are not shared: this server obtains its own":
			l.alone++
			alone = true
		case "tokens are shared again":
			l.again++
			alone = false
		case "obtained token":
			if alone && entry.Shared {
				l.untrue++
			}
		}
	}
	return l
}

func TestReadLog(t *testing.T) {
	const obtained, shared = `{"msg":"obtained token","shared":false}` + "\n", `{"msg":"obtained token","shared":true}` + "\n"
	const alone = `{"msg":"tokens are not shared: this server obtains its own"}` + "\n"
	const again = `{"msg":"tokens are shared again"}` + "\n"
	for log, want := range map[string]logged{
		obtained + shared:                                               {},
		alone + obtained + again + shared:                               {alone: 1, again: 1},
		alone + obtained + shared + again:                               {alone: 1, again: 1, untrue: 1},
		alone + obtained + `{"msg":"` + launched + `"}` + "\n" + shared: {alone: 1},
	} {
		if got := readLog([]byte(log)); got != want {
			t.Errorf("of\n%sit reads %+v, want %+v", log, got, want)
		}
	}
}
