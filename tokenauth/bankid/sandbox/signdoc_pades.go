package sandbox

import (
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// unsigned is what an answer says about the documents in it.
const unsigned = "SANDBOX: these are the uploaded bytes; nothing was signed, extended or timestamped"

// padesAPI is the pattern that SignDoc and timestamping share: create an order,
// ask for its status, collect it once.
type padesAPI struct {
	tokens *accessTokens
	orders *orders
	path   string   // keeps the orders of the two APIs apart
	scopes []string // one of them is needed

	// unfinished is the status of the download of an order that is not complete.
	unfinished int

	// refuse answers a call without sufficient authorization.
	refuse func(http.ResponseWriter, admission)
}

// signDoc is SignDoc v1.
func (s *Server) signDoc() *padesAPI {
	return s.newSignDoc("/v1/signdoc/pades", s.refuseV1())
}

// signDocV0 is SignDoc v0, whose orders are apart from those of v1.
func (s *Server) signDocV0() *padesAPI {
	return s.newSignDoc("/signdoc/pades", refuseV0)
}

func (s *Server) newSignDoc(path string, refuse func(http.ResponseWriter, admission)) *padesAPI {
	return &padesAPI{
		tokens: s.tokens, orders: s.orders, path: path, scopes: signDocScopes(),
		unfinished: s.assume.UnfinishedOrder, refuse: refuse,
	}
}

// signDocScopes are those of which SignDoc needs one.
func signDocScopes() []string { return []string{bankid.ScopeESign, bankid.ScopeReadWrite} }

// refuseV1 returns what refuses a call of SignDoc v1.
func (s *Server) refuseV1() func(http.ResponseWriter, admission) {
	if s.assume.SignDocForbids {
		return refuseV0
	}
	return refuse401
}

// refuse401 tells a bad token from an insufficient scope. SignDoc's error page
// allows 401 and 403, without reason: https://developer.bankid.no/bankid-esign-provider/apis/signdoc/errors.
func refuse401(w http.ResponseWriter, why admission) {
	if why == scopeMissing {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// refuseV0 refuses a call of SignDoc v0. The service that it stays compatible
// with has 403 for a bad token:
// https://bidbax.atlassian.net/wiki/spaces/PDOIDCL/pages/32966065.
func refuseV0(w http.ResponseWriter, _ admission) { w.WriteHeader(http.StatusForbidden) }

// lta extends signed PDFs to PAdES-B-LTA. It has 403 for a missing and for an
// invalid token:
// https://developer.bankid.no/bankid-esign-provider/apis/timestamp/v1/lta.yaml.
func (s *Server) lta() *padesAPI {
	return &padesAPI{
		tokens: s.tokens,
		orders: s.orders,
		path:   "/v1/timestamp/pades/lta",
		scopes: []string{bankid.ScopeQTSA},

		unfinished: s.assume.UnfinishedOrder,
		refuse: func(w http.ResponseWriter, why admission) {
			reason := map[admission]string{
				tokenMissing: "access token is missing",
				tokenInvalid: "access token is invalid or expired",
				scopeMissing: "access token lacks scope " + bankid.ScopeQTSA,
			}[why]
			answerJSON(w, http.StatusForbidden, reason)
		},
	}
}

// create opens an order. The token is checked before the body is read.
func (p *padesAPI) create(w http.ResponseWriter, r *http.Request) {
	if !p.admit(w, r) {
		return
	}
	var request orderRequest
	if failed := readDocuments(w, r, request.decode); failed != nil {
		answerJSON(w, failed.status, failed.reason)
		return
	}
	if request.convert {
		list := make([]conversion, len(request.documents))
		for i, d := range request.documents {
			list[i] = conversion{document: d}
		}
		if result, ok := convert(list); !ok {
			answerJSON(w, http.StatusBadRequest, result)
			return
		}
	}
	answerJSON(w, http.StatusOK, map[string]string{"sign_id": p.orders.add(p.path, request)})
}

// status tells the state of an order.
func (p *padesAPI) status(w http.ResponseWriter, r *http.Request) {
	id, ok := p.order(w, r)
	if !ok {
		return
	}
	state, ok := p.orders.status(id)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answerJSON(w, http.StatusOK, map[string]string{"sign_id": id.signID, "status": state})
}

// fetch hands the documents out and destroys the order.
func (p *padesAPI) fetch(w http.ResponseWriter, r *http.Request) {
	id, ok := p.order(w, r)
	if !ok {
		return
	}
	documents, state, ok := p.orders.take(id)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if documents == nil {
		answerJSON(w, p.unfinished, "the order is not complete: "+state)
		return
	}
	type result struct {
		Description string  `json:"description"`
		PDF         pdfFile `json:"padesSignedPdf"`
	}
	results := make([]result, len(documents))
	for i, d := range documents {
		results[i] = result(d)
	}
	answerJSON(w, http.StatusOK, map[string]any{"sandbox": unsigned, "signingResults": results})
}

// order returns the order that a call is about, or refuses the call.
func (p *padesAPI) order(w http.ResponseWriter, r *http.Request) (orderID, bool) {
	if !p.admit(w, r) {
		return orderID{}, false
	}
	signIDs := r.URL.Query()["sign_id"]
	if len(signIDs) != 1 || signIDs[0] == "" {
		answerJSON(w, http.StatusBadRequest, "sign_id must be given once")
		return orderID{}, false
	}
	return orderID{path: p.path, signID: signIDs[0]}, true
}

func (p *padesAPI) admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	why := p.tokens.admit(r, p.scopes...)
	if why != admitted {
		p.refuse(w, why)
	}
	return why == admitted
}
