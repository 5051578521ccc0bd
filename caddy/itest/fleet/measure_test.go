package fleet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// processor returns the processor time of the given gateways together.
func (f *fleet) processor(gateways ...int) (total time.Duration) {
	f.t.Helper()
	for _, i := range gateways {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.gateways[i].process.Process.Pid))
		if err != nil {
			f.t.Fatal(err)
		}
		// These are the fields after the name, which may have spaces: proc_pid_stat(5).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] { // utime, stime
			ticks, err := strconv.Atoi(field)
			if err != nil {
				f.t.Fatal(err)
			}
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}

// memory returns the peak memory of gateway i, in MiB.
func (f *fleet) memory(i int) int {
	f.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.gateways[i].process.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		f.t.Fatal(err)
	}
	return kib / 1024
}

// goroutines returns the number of goroutines of gateway i.
func (f *fleet) goroutines(i int) int {
	f.t.Helper()
	res, err := http.Get("http://" + f.gateways[i].address + ":8080/metrics") //nolint:noctx // it is at hand
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "go_goroutines "); found {
			n, err := strconv.Atoi(value)
			if err != nil {
				f.t.Fatal(err)
			}
			return n
		}
	}
	f.t.Fatal("the metrics have no go_goroutines")
	return 0
}
