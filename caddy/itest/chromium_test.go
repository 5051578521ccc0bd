package itest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A chromium is a running Chromium, driven by its DevTools protocol over a pipe:
// https://chromedevtools.github.io/devtools-protocol/.
type chromium struct {
	in      *os.File
	mu      sync.Mutex
	last    int
	waiting map[int]chan devToolsMessage
}

// A devToolsMessage is a message of the protocol.
type devToolsMessage struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// startChromium runs Chromium until the test ends.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--no-proxy-server", "--disable-background-networking", "--hide-scrollbars",
		"--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP evil.test 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as Chromium expects
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (Debian's package chromium is needed)", err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &chromium{in: in, waiting: make(map[int]chan devToolsMessage)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(out)
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // Chromium has many processes
		cmd.Wait()
		in.Close()
		<-ended
		out.Close()
	})
	return c
}

// read hands responses to those who wait for them.
func (c *chromium) read(out *os.File) {
	messages := bufio.NewReader(out)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var message devToolsMessage
		if json.Unmarshal(text[:len(text)-1], &message) != nil || message.ID == 0 {
			continue
		}
		c.mu.Lock()
		waiting := c.waiting[message.ID]
		delete(c.waiting, message.ID)
		c.mu.Unlock()
		if waiting != nil {
			waiting <- message
		}
	}
}

// call calls a method of the protocol.
func (c *chromium) call(ctx context.Context, session, method string, params, result any) error {
	c.mu.Lock()
	c.last++
	id, response := c.last, make(chan devToolsMessage, 1)
	c.waiting[id] = response
	text, err := json.Marshal(devToolsMessage{ID: id, SessionID: session, Method: method, Params: params})
	if err == nil {
		_, err = c.in.Write(append(text, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case message := <-response:
		if message.Error != nil {
			return fmt.Errorf("%s: %s", method, message.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(message.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// A tab is a page in Chromium.
type tab struct {
	t       *testing.T
	browser *chromium
	session string
	ctx     context.Context
}

// open opens a tab of its own, without cookies of others. It has a minute or so.
func (c *chromium) open(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	var target struct {
		TargetID string `json:"targetId"`
	}
	if err := c.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		t.Fatal(err)
	}
	return c.attach(ctx, t, target.TargetID)
}

// attach returns the tab of a target.
func (c *chromium) attach(ctx context.Context, t *testing.T, targetID string) *tab {
	t.Helper()
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	if err := c.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": targetID, "flatten": true}, &attached); err != nil {
		t.Fatal(err)
	}
	return &tab{t, c, attached.SessionID, ctx}
}

// do calls a method of the protocol.
func (b *tab) do(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.browser.call(b.ctx, b.session, method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

// visit goes to a page.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url}, nil)
}

// eval evaluates an expression in the page, which may be a promise, and returns its value as
// text.
func (b *tab) eval(expression string) (string, error) {
	var result struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := b.browser.call(b.ctx, b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &result)
	if err == nil && result.ExceptionDetails != nil {
		err = errors.New(result.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(result.Result.Value), err
}

// waitFor waits until an expression is true in the page that is there then.
func (b *tab) waitFor(expression string) {
	b.t.Helper()
	for {
		// In the page the promise waits for the next frame; a page that is left fails.
		value, err := b.eval(`new Promise(done => setTimeout(() => done(document.readyState === "complete" && Boolean(` + expression + `)), 20))`)
		if err == nil && value == "true" {
			return
		}
		if b.ctx.Err() != nil {
			text, _ := b.eval("location.href + document.body.innerText")
			b.t.Fatalf("%s did not become true; %v; the page is %.2000s", expression, err, text)
		}
	}
}

// text returns the text of an element of the page.
func (b *tab) text(selector string) string {
	b.t.Helper()
	value, err := b.eval(fmt.Sprintf("document.querySelector(%q).innerText", selector))
	if err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	return value
}

// press presses a button or link, by the keyboard: it gets the focus, and Enter.
func (b *tab) press(selector string) {
	b.t.Helper()
	if _, err := b.eval(fmt.Sprintf("document.querySelector(%q).focus()", selector)); err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		key := map[string]any{"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
		if kind == "keyDown" {
			key["text"] = "\r"
		}
		b.do("Input.dispatchKeyEvent", key, nil)
	}
}

// frame returns the tab's frame of another site for a page.
func (b *tab) frame(url string) *tab {
	b.t.Helper()
	var targets struct {
		TargetInfos []struct{ TargetID, URL string } `json:"targetInfos"`
	}
	params := map[string]any{"filter": []map[string]any{{"type": "iframe"}}}
	if err := b.browser.call(b.ctx, "", "Target.getTargets", params, &targets); err != nil {
		b.t.Fatal(err)
	}
	for _, target := range targets.TargetInfos {
		if target.URL == url {
			return b.browser.attach(b.ctx, b.t, target.TargetID)
		}
	}
	b.t.Fatalf("there is no frame for %s among %v", url, targets.TargetInfos)
	return nil
}

// screenshot returns a picture of the upper part of the page, at a width, light or dark, as a
// PNG.
func (b *tab) screenshot(width int, scheme string) []byte {
	b.t.Helper()
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.waitFor("true")
	height, err := b.eval("document.documentElement.offsetHeight")
	if err != nil {
		b.t.Fatal(err)
	}
	high, err := strconv.Atoi(height)
	if err != nil {
		b.t.Fatal(err)
	}
	var shot struct {
		Data string `json:"data"`
	}
	b.do("Page.captureScreenshot", map[string]any{
		"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": min(high, 1400), "scale": 1},
	}, &shot)
	content, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// waitForWhite waits until an element of the page is white in its middle.
func (b *tab) waitForWhite(selector string) {
	b.t.Helper()
	for {
		var at struct{ X, Y int }
		text, err := b.eval(fmt.Sprintf(`(() => { const at = document.querySelector(%q).getBoundingClientRect(); return JSON.stringify({x: Math.round(scrollX + at.x + at.width / 2), y: Math.round(scrollY + at.y + at.height / 2)}); })()`, selector))
		if err == nil {
			err = json.Unmarshal([]byte(text), &at)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(b.screenshot(760, "light")))
		if err != nil {
			b.t.Fatal(err)
		}
		if red, green, blue, _ := picture.At(at.X, at.Y).RGBA(); red&green&blue == 0xffff {
			return
		}
	}
}
