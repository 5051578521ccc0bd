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
	if changes {
		if err := f.changesAllowed(catalog); err != nil {
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
	name, err := f.unusedName(fields)
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

// unusedName returns a name that no field of the form has.
func (f form) unusedName(fields pdf.Array) (string, error) {
	used := make(map[string]bool)
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

// changesAllowed returns [ErrNoChanges] if the author's signature says so.
func (f form) changesAllowed(catalog pdf.Dict) error {
	permissions, err := f.document.Dict(catalog["Perms"])
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	signature, err := f.document.Dict(permissions["DocMDP"])
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	references, err := f.document.Array(signature["Reference"])
	if err != nil {
		return fmt.Errorf("the permissions: %w", err)
	}
	for _, r := range references {
		reference, err := f.document.Dict(r)
		if err != nil {
			return fmt.Errorf("the permissions: %w", err)
		}
		parameters, err := f.document.Dict(reference["TransformParams"])
		if err != nil {
			return fmt.Errorf("the permissions: %w", err)
		}
		if reference["TransformMethod"] == pdf.Name("DocMDP") && parameters["P"] == 1 {
			return ErrNoChanges
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
