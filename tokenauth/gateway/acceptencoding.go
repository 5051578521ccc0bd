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
	var sent []string
	accepted, others := false, "" // others is the weight of the codings that are not listed ("*")
	listed := make(map[string]bool)
	add := func(coding, weight string) {
		zero := strings.Trim(weight, "0.") == ""
		if zero && !strings.EqualFold(coding, "identity") {
			return // to leave it out means the same
		}
		accepted = accepted || !zero
		if weight != "1" {
			coding += ";q=" + weight
		}
		sent = append(sent, coding)
	}
	for element := range list.Elements(fields) {
		switch coding, weight, ok := weighted(element); {
		case !ok:
		case coding == "*":
			others = weight
		case tokenauth.Decodes(coding):
			listed[strings.TrimPrefix(strings.ToLower(coding), "x-")] = true
			add(coding, weight)
		}
	}
	for _, coding := range []string{"gzip", "deflate", "identity"} {
		if others != "" && !listed[coding] {
			add(coding, others)
		}
	}
	if !accepted {
		return []string{"identity"}
	}
	return []string{strings.Join(sent, ", ")}
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

// weighted returns a coding with its weight as written, which is 1 if it has none (RFC 9110
// section 12.4.2). It is not ok if the weight is not valid.
func weighted(element string) (coding, weight string, ok bool) {
	coding, parameter, has := strings.Cut(element, ";")
	coding = strings.TrimRight(coding, " \t")
	if !has {
		return coding, "1", true
	}
	name, weight, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
	q, err := strconv.ParseFloat(weight, 64)
	return coding, weight, strings.EqualFold(name, "q") && strings.Trim(weight, "0123456789.") == "" && err == nil && q <= 1
}
