package itest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A process is a program that serves until its standard input ends. The first line of its
// output says where.
type process struct {
	name   string
	stdin  io.Closer
	first  chan string // the first line, then closed
	ended  chan struct{}
	stderr bytes.Buffer // complete when it has ended
	output []byte       // after the first line; complete when it has ended
}

// startProcess runs a program in a folder until the test ends. It does not wait until the
// program serves, so that several programs can start at the same time.
func startProcess(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	p := &process{name: strings.Join(cmd.Args, " "), first: make(chan string, 1), ended: make(chan struct{})}
	cmd.Stderr = &p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	go func() {
		defer close(p.ended)
		output := bufio.NewReader(stdout)
		if line, err := output.ReadString('\n'); err == nil {
			p.first <- strings.TrimSpace(line)
		}
		close(p.first)
		p.output, _ = io.ReadAll(output)
		cmd.Wait()
	}()
	t.Cleanup(p.stop)
	return p
}

// serves waits until the program serves, and returns the first line. It is called once.
func (p *process) serves(t *testing.T) string {
	t.Helper()
	line, ok := <-p.first
	if !ok {
		<-p.ended
		t.Fatalf("%.80s… did not start (bash .ci/run installs what is needed):\n%s", p.name, p.stderr.Bytes())
	}
	return line
}

// stop ends the program. It may be called twice.
func (p *process) stop() {
	p.stdin.Close()
	<-p.ended
}
