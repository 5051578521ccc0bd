package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a running contender.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{} // closed when it has
}

// startProcess starts cmd, which ends when ctx does.
func startProcess(ctx context.Context, dir string, env []string, name string, args ...string) (*process, error) {
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, name, args...) //nolint:gosec // what it runs, it has built
	p.cmd.Dir = dir
	p.cmd.Env = append(append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_DATA_HOME="), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the process.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// await waits until the response from url is 200, and returns its body.
func (p *process) await(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	var last string
	for {
		body, status, err := get(ctx, transport, url)
		if err == nil && status == http.StatusOK {
			return body, nil
		}
		if last = fmt.Sprintf("status %d: %.200s", status, body); err != nil {
			last = err.Error()
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("it ended: %s", &p.output)
		case <-ctx.Done():
			return nil, fmt.Errorf("it is not ready: %s", last)
		case <-time.After(time.Millisecond):
		}
	}
}

// awaitPort waits until something listens on address.
func (p *process) awaitPort(address string) error {
	for range 10_000 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended: %s", &p.output)
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("it does not listen on %s", address)
}

// family returns the ids of the process and of all processes that it has started.
func (p *process) family() []int {
	family := []int{p.cmd.Process.Pid}
	for i := 0; i < len(family); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", family[i]))
		for _, list := range lists {
			children, _ := os.ReadFile(list) //nolint:gosec // of the kernel
			for field := range strings.FieldsSeq(string(children)) {
				if pid, err := strconv.Atoi(field); err == nil {
					family = append(family, pid)
				}
			}
		}
	}
	return family
}

// cpu returns the processor time of the process, by the kernel's accounting in
// nanoseconds. /proc/<pid>/stat has only hundredths of a second.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.family() {
		var ts unix.Timespec
		// The clock of a process, as clock_getcpuclockid(3) makes it.
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil { //nolint:gosec // as the kernel has it
			return 0, fmt.Errorf("processor time of process %d: %v", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// resetPeak makes peak count from now. If that is not permitted, peak counts from the
// start of the process.
func (p *process) resetPeak() {
	for _, pid := range p.family() {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// peak returns the largest resident size of the process, in bytes.
func (p *process) peak() (int64, error) {
	var sum int64
	for _, pid := range p.family() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		line, _, _ := strings.Cut(rest, "\n")
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("peak memory of process %d: %v", pid, err)
		}
		sum += kib << 10
	}
	return sum, nil
}
