// Package validators has what the world uses validate the documents that the sandbox
// signs: EU DSS, Apache PDFBox, pyHanko, pdfsig and qpdf.
package validators
