// Package documents tests the commands of the documents: it runs them in a clone, and
// compares what they print.
package documents
