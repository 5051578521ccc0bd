package gateway

import (
	"slices"
	"strconv"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/internal/list"
)

// acceptEncoding returns the Accept-Encoding fields to send, for those of the caller. They
// have the codings that the caller accepts and tokenauth.ParseErrorBody can read, since
// the Transport must read error bodies. If there is none, they have identity.
func acceptEncoding(fields []string) []string {
	if !slices.ContainsFunc(fields, limits) {
		return fields
	}
	a := acceptance{}
	for element := range list.Elements(fields) {
		a.add(element)
	}
	return []string{a.String()}
}

// limits reports whether an Accept-Encoding field must be changed before it leaves.
func limits(field string) bool {
	empty := true
	for element := range strings.SplitSeq(field, ",") {
		coding, _, _ := strings.Cut(element, ";")
		if coding = strings.Trim(coding, " \t"); coding == "" {
			continue
		}
		empty = false
		if !tokenauth.Decodes(coding) {
			return true
		}
	}
	return empty // an empty field means identity, but some servers take it for any coding
}

// An acceptance is the content of Accept-Encoding for the codings that are readable.
type acceptance struct {
	codings []weighted
	others  *weighted // for the codings that are not listed ("*")
}

// weighted is one coding with its weight (RFC 9110 section 12.4.2).
type weighted struct {
	coding string
	weight string // as written
	none   bool   // the weight is zero
}

// add adds one element of the list. It ignores an element that it cannot read.
func (a *acceptance) add(element string) {
	coding, parameter, has := strings.Cut(element, ";")
	w := weighted{coding: strings.TrimRight(coding, " \t"), weight: "1"}
	if has {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		q, err := strconv.ParseFloat(value, 64)
		if !strings.EqualFold(name, "q") || strings.Trim(value, "0123456789.") != "" || err != nil || q > 1 {
			return
		}
		w.weight, w.none = value, q == 0
	}
	switch {
	case w.coding == "*":
		a.others = &w
	case tokenauth.Decodes(w.coding):
		a.codings = append(a.codings, w)
	}
}

// String returns the value of the field to send.
func (a *acceptance) String() string {
	var list []string
	accepted := false
	for _, w := range a.complete() {
		if w.none && !strings.EqualFold(w.coding, "identity") {
			continue // to leave it out means the same
		}
		accepted = accepted || !w.none
		if w.weight == "1" {
			list = append(list, w.coding)
		} else {
			list = append(list, w.coding+";q="+w.weight)
		}
	}
	if !accepted {
		return "identity"
	}
	return strings.Join(list, ", ")
}

// complete returns the codings with their weights, and also those that "*" stands for.
func (a *acceptance) complete() []weighted {
	if a.others == nil {
		return a.codings
	}
	all := a.codings
	for _, coding := range []string{"gzip", "deflate", "identity"} {
		if !slices.ContainsFunc(a.codings, func(w weighted) bool { return strings.EqualFold(strings.TrimPrefix(w.coding, "x-"), coding) }) {
			all = append(all, weighted{coding, a.others.weight, a.others.none})
		}
	}
	return all
}
