// Package list reads header fields that hold lists.
package list

import "strings"

// Elements returns the elements of the list that all fields make together (RFC 9110 section
// 5.6.1).
func Elements(fields []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, field := range fields {
			for element := range strings.SplitSeq(field, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}
