// Package documents reads the repository's Markdown files, for the tests that check them.
package documents

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// A Document is a Markdown file.
type Document struct {
	Path   string
	Text   string
	Blocks []Block
}

// A Block is a fenced code block. Kind is the word after the fence, or empty.
type Block struct{ Kind, Text string }

// fence matches fenced code blocks, also those in a list.
var fence = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)\n *```$")

// Read returns the Markdown files of the repository whose root is the given directory.
func Read(root string) ([]Document, error) {
	var all []Document
	for _, pattern := range []string{"*.md", ".github/*.md", "caddy/docs/*.md", "caddy/bench/*.md", "caddy/ops/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("there is no %s in %s", pattern, root)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			d := Document{Path: path, Text: string(text)}
			for _, match := range fence.FindAllStringSubmatch(d.Text, -1) {
				inner := regexp.MustCompile("(?m)^"+match[1]).ReplaceAllString(match[3], "")
				d.Blocks = append(d.Blocks, Block{match[2], inner})
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// WithoutBlocks returns a Markdown text without its code blocks.
func WithoutBlocks(text string) string { return fence.ReplaceAllString(text, "") }
