package caddyesign

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
)

// takeEnvFiles gives cmd the flag --envfile, as `caddy run` has it, and loads the files
// before cmd runs.
func takeEnvFiles(cmd *cobra.Command) {
	var files []string
	cmd.Flags().StringSliceVar(&files, "envfile", nil, "A file of environment variables in KEY=VALUE format, as for 'caddy run'; can be given several times")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, file := range files {
			if err := loadEnvFile(file); err != nil {
				return unchecked(cmd, fmt.Errorf("loading additional environment variables: %w", err))
			}
		}
		return nil
	}
}

// loadEnvFile sets the variables in file, except those that are set already.
func loadEnvFile(file string) error {
	opened, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the environment file: %w", err)
	}
	defer opened.Close()
	variables, err := parseEnvFile(opened)
	if err != nil {
		return fmt.Errorf("parsing the environment file %s: %w", file, err)
	}
	for name, value := range variables {
		if _, exists := os.LookupEnv(name); exists {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			// The error contains the name, which may be a secret by mistake.
			return fmt.Errorf("parsing the environment file %s: it has a name or a value that no variable can have", file)
		}
	}
	// The variables can say where Caddy keeps its files (XDG_DATA_HOME).
	caddy.DefaultStorage.Path = caddy.AppDataDir()
	return nil
}

// parseEnvFile parses variables as Caddy does, oddities included, since a file must
// have the same meaning for `caddy run` and for these commands. Caddy's own function is
// not exported, and its errors show lines of the file, which are secrets.
func parseEnvFile(r io.Reader) (map[string]string, error) {
	variables := make(map[string]string)
	lines := bufio.NewScanner(r)
	number := 0
	for lines.Scan() {
		number++
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name = strings.TrimPrefix(name, "export ")
		switch {
		case !found:
			return nil, fmt.Errorf("line %d is not in KEY=VALUE format", number)
		case name == "":
			return nil, fmt.Errorf("line %d has no name before the equals sign", number)
		case strings.Contains(name, " "):
			return nil, fmt.Errorf("line %d has a space in the name, or before the equals sign", number)
		case strings.HasPrefix(value, " "), strings.HasPrefix(value, "\t"):
			return nil, fmt.Errorf("line %d has white space after the equals sign", number)
		}
		if before, _, commented := strings.Cut(value, "#"); commented { // even in quotation marks
			value = strings.TrimRight(before, " \t")
		}
		if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
			var more int
			value, more = readQuoted(lines, line, value)
			number += more
		}
		variables[name] = value
	}
	return variables, lines.Err()
}

// readQuoted returns the value that begins in line with a quotation mark, without the
// quotation marks, and the number of further lines that it takes up.
func readQuoted(lines *bufio.Scanner, line, value string) (whole string, more int) {
	quote := value[:1]
	for !strings.HasSuffix(line, quote) || strings.HasSuffix(line, `\`+quote) {
		value = strings.ReplaceAll(value, `\`+quote, quote)
		if !lines.Scan() {
			break
		}
		more++
		line = strings.ReplaceAll(lines.Text(), `\`+quote, quote)
		value += "\n" + line
	}
	return strings.TrimSuffix(strings.TrimPrefix(value, quote), quote), more
}
