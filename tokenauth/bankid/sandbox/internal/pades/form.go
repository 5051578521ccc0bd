package pades

import (
	"fmt"
	"maps"
	"slices"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// A form adds fields to the form of a file (ISO 32000-1, section 12.7).
type form struct {
	document *pdf.Document
	update   *pdf.Update
}

// Flags of a form and of a field's annotation: sections 12.7.2 and 12.5.3.
const (
	signaturesExist, appendOnly = 1, 2
	printed, locked             = 4, 128
)

// addField adds a field with a signature to the form, and its annotation to the first
// page.
func (f form) addField(value pdf.Ref, seal *Seal, changes bool) error {
	root, catalog, err := f.document.Catalog()
	if err != nil {
		return err
	}
	used := make(map[string]bool) // names
	if changes {
		if used, err = f.lockedNames(catalog); err != nil {
			return err
		}
	}
	acroForm, err := f.document.Dict(catalog["AcroForm"])
	if err != nil {
		return fmt.Errorf("the form: %w", err)
	}
	fields, err := f.document.Array(acroForm["Fields"])
	if err != nil {
		return fmt.Errorf("the fields: %w", err)
	}
	name, err := f.unusedName(fields, used)
	if err != nil {
		return err
	}
	widget, err := f.addWidget(name, value, seal)
	if err != nil {
		return err
	}
	at, indirect := catalog["AcroForm"].(pdf.Ref)
	exists := acroForm != nil
	acroForm = clone(acroForm)
	flags, _ := acroForm["SigFlags"].(int)
	acroForm["SigFlags"] = flags | signaturesExist | appendOnly
	f.appendTo(acroForm, "Fields", fields, widget)
	if indirect && exists {
		f.update.Set(at, acroForm)
		return nil
	}
	catalog = clone(catalog)
	catalog["AcroForm"] = f.update.Add(acroForm)
	f.update.Set(root, catalog)
	return nil
}

// appendTo appends to a list in a dictionary, which is written anew. If the list is an
// object of its own, that is written too.
func (f form) appendTo(dict pdf.Dict, name pdf.Name, list pdf.Array, element any) {
	longer := append(slices.Clone(list), element)
	if ref, ok := dict[name].(pdf.Ref); ok && list != nil {
		f.update.Set(ref, longer)
	} else {
		dict[name] = longer
	}
}

// unusedName returns a name that no field of the form has, and that is not used otherwise.
func (f form) unusedName(fields pdf.Array, used map[string]bool) (string, error) {
	for _, ref := range fields {
		field, err := f.document.Dict(ref)
		if err != nil {
			return "", fmt.Errorf("a field: %w", err)
		}
		name, err := f.document.Resolve(field["T"])
		if err != nil {
			return "", fmt.Errorf("a field: %w", err)
		}
		if text, ok := name.(pdf.String); ok {
			used[pdf.DecodeText(text)] = true
		}
	}
	for number := 1; ; number++ {
		name := fmt.Sprintf("Signature%d", number)
		if !used[name] {
			return name, nil
		}
	}
}

// addWidget adds a field which is its own annotation.
func (f form) addWidget(name string, value pdf.Ref, seal *Seal) (pdf.Ref, error) {
	at, page, err := f.document.FirstPage()
	if err != nil {
		return pdf.Ref{}, err
	}
	annotations, err := f.document.Array(page["Annots"])
	if err != nil {
		return pdf.Ref{}, fmt.Errorf("the annotations: %w", err)
	}
	field := pdf.Dict{
		"Type": pdf.Name("Annot"), "Subtype": pdf.Name("Widget"),
		"FT": pdf.Name("Sig"), "T": pdf.String(name), "V": value,
		"F": printed | locked, "P": at, "Rect": pdf.Array{0, 0, 0, 0},
	}
	if seal != nil {
		if err := f.draw(seal, page, field); err != nil {
			return pdf.Ref{}, err
		}
	}
	widget := f.update.Add(field)
	page = clone(page)
	f.appendTo(page, "Annots", annotations, widget)
	f.update.Set(at, page)
	return widget, nil
}

// lockedNames returns the names of fields that earlier signatures lock, and [ErrNoChanges]
// if they lock every new field, or if the file is certified: then only a field that exists
// can be signed, if any (ISO 32000-1, sections 12.8.2.2 and 12.8.2.4).
func (f form) lockedNames(catalog pdf.Dict) (map[string]bool, error) {
	permissions, err := f.document.Dict(catalog["Perms"])
	if err != nil {
		return nil, fmt.Errorf("the permissions: %w", err)
	}
	if permissions["DocMDP"] != nil {
		return nil, ErrNoChanges
	}
	signatures, err := f.document.Signatures()
	if err != nil {
		return nil, err
	}
	locked := make(map[string]bool)
	for _, s := range signatures {
		references, err := f.document.Array(s.Dict["Reference"])
		if err != nil {
			return nil, fmt.Errorf("the permissions: %w", err)
		}
		for _, r := range references {
			if err := f.lock(locked, r); err != nil {
				return nil, err
			}
		}
	}
	return locked, nil
}

// lock adds what a signature reference locks.
func (f form) lock(locked map[string]bool, reference any) error {
	dict, err := f.document.Dict(reference)
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	parameters, err := f.document.Dict(dict["TransformParams"])
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	method := dict["TransformMethod"]
	switch {
	case method == pdf.Name("DocMDP") && parameters["P"] == 1:
		return ErrNoChanges
	case method != pdf.Name("FieldMDP"):
		return nil
	case parameters["Action"] != pdf.Name("Include"): // All, or all but those
		return ErrNoChanges
	}
	names, err := f.document.Array(parameters["Fields"])
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	for _, name := range names {
		if text, ok := name.(pdf.String); ok {
			locked[pdf.DecodeText(text)] = true
		}
	}
	return nil
}

// clone copies a dictionary, or makes one.
func clone(dict pdf.Dict) pdf.Dict {
	if dict == nil {
		return make(pdf.Dict)
	}
	return maps.Clone(dict)
}
