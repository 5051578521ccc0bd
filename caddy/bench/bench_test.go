package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The results of so short a run mean nothing. The test is only about whether it runs.
func TestQuickRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.md")
	var printed strings.Builder
	err := run(t.Context(), []string{
		"-quick", "-contenders", "bare|bearer", "-scenarios", "^small h2 c32$|^up 1MiB h1 c1$|^down 1MiB h1 c1 tls$|^download ",
		"-parts", "scenarios,downloads,renewal,stampede,startup", "-out", out,
	}, &printed)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != printed.String() {
		t.Error("what is written is not what is printed")
	}
	for _, want := range []string{
		"## small h2 c32\n", "## up 1MiB h1 c1\n", "## down 1MiB h1 c1 tls\n", "## Targets\n",
		"| floor | ", "| bare | ", "| gateway, bearer | ", "| Go proxy, x/oauth2, renewing | ",
		"| gateway, bearer | 1 (1–1) | 256 (256–256) |", "## Stampede of 256 cold callers: the issuer responds with 503",
		"## download 3 MiB, full speed\n", "## download 3 MiB, upstream at 10 MiB/s, caller at 2 MiB/s\n",
		"caller fast: whole time of the gateway, bearer, to the floor's: at most 1.03", "stock Caddy: ", "\n- measured in ",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the results lack %q:\n%s", want, &printed)
		}
	}
	for _, no := range []string{"NaN", "Inf", "nginx |"} {
		if strings.Contains(printed.String(), no) {
			t.Errorf("the results have %q:\n%s", no, &printed)
		}
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-scenarios (":         "scenarios: ",
		"-contenders (":        "contenders: ",
		"-rounds 0":            "must be positive",
		"more":                 "no arguments",
		"-parts startup,lunch": "no part 'lunch'",
	} {
		if err := run(t.Context(), strings.Fields(args), new(strings.Builder)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want one with %q", args, err, want)
		}
	}
}

// The flags in the README's commands exist: the commands end only because their context
// has ended.
func TestArgumentsOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^go run \. (.*)$`).FindAllStringSubmatch(string(readme), -1)
	if len(shown) < 5 {
		t.Errorf("it shows %d commands", len(shown))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, match := range shown {
		words, err := exec.CommandContext(t.Context(), "bash", "-c", `printf '%s\n' `+match[1]).Output()
		if err != nil {
			t.Fatal(err)
		}
		args := append(strings.Split(strings.TrimSpace(string(words)), "\n"), "-contenders", "bearer")
		if err := run(ctx, args, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
			t.Errorf("%q: the error is %v", args, err)
		}
	}
}

func TestMissingNginx(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findNginx([]string{"nginx"})
	if err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("the error is %v", err)
	}
}

func TestSpread(t *testing.T) {
	if got := newSpread([]float64{4, 1, 3, 2}); got != (spread{2.5, 1.75, 3.25}) {
		t.Errorf("the spread is %v", got)
	}
	if got := newSpread(ratios([]float64{1, 9}, []float64{2, 3})); got != (spread{1.75, 1.125, 2.375}) {
		t.Errorf("the spread of ratios is %v", got)
	}
	latencies := make([]time.Duration, 1000)
	for i := range latencies {
		latencies[i] = time.Duration(i + 1)
	}
	for q, want := range map[float64]time.Duration{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := percentile(latencies, q); got != want {
			t.Errorf("percentile %v is %d, want %d", q, got, want)
		}
	}
}
