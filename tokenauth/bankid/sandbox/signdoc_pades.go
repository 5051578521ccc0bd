package sandbox

import (
	"net/http"
	"slices"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// padesAPI is the pattern that SignDoc and timestamping share: create an order,
// ask for its status, collect it once.
type padesAPI struct {
	tokens *accessTokens
	orders *orders
	path   string   // keeps the orders of the APIs apart
	scopes []string // one of them is needed

	// refuse responds to a call without sufficient authorization.
	refuse func(http.ResponseWriter, admission)

	decode     func(jsonReader) (orderRequest, error)
	rule       signatureRule                // for documents
	shared     bool                         // every client may have every order
	freeLTA    bool                         // extendToLTA needs no further scope
	created    int                          // status of the response to a new order
	plain      bool                         // a status has "status" instead of "orderState"
	unfinished int                          // status of the download of an order that is not complete
	signerInfo func(*order) (string, error) // returns a JWT
}

// signDoc is SignDoc v1.
func (s *Server) signDoc() *padesAPI {
	p := s.newPAdES("/v1/signdoc/pades", s.refuseV1(), func(body jsonReader) (orderRequest, error) {
		return decodeOrder(body, true, contentV1)
	})
	p.scopes = signDocScopes()
	return p
}

// signDocV0 is SignDoc v0, whose orders are apart from those of v1. It has what
// the older service has, see
// https://confluence.bankidnorge.no/confluence/pdoidcl/technical-documentation/api/signdoc-pades.
func (s *Server) signDocV0() *padesAPI {
	p := s.newPAdES("/signdoc/pades", refuseV0, func(body jsonReader) (orderRequest, error) {
		order, err := decodeOrder(body, true, contentV0)
		if err == nil && !slices.Contains([]string{"", "interior", "window", "overlay"}, order.displayMode) {
			err = badOrder("signProperties: documentDisplayMode is none of interior, window and overlay")
		}
		return order, err
	})
	p.scopes = signDocScopes()
	p.created, p.plain = http.StatusCreated, false
	return p
}

// lta extends signed PDFs to PAdES-B-LTA. It has 403 for a missing and for an
// invalid token:
// https://developer.bankid.no/bankid-esign-provider/apis/timestamp/v1/lta.yaml.
func (s *Server) lta() *padesAPI {
	p := s.newPAdES("/v1/timestamp/pades/lta", refuseLTA, func(body jsonReader) (orderRequest, error) {
		return decodeOrder(body, false, contentLTA)
	})
	p.scopes = []string{bankid.ScopeQTSA}
	p.rule = someSignatures
	return p
}

func (s *Server) newPAdES(path string, refuse func(http.ResponseWriter, admission), decode func(jsonReader) (orderRequest, error)) *padesAPI {
	return &padesAPI{
		tokens: s.tokens, orders: s.orders, path: path, refuse: refuse, decode: decode,
		shared: s.assume.SharedOrders, freeLTA: s.assume.ExtendWithoutScope, created: s.assume.CreatedOrder, plain: s.assume.StateMember == "status",
		unfinished: s.assume.UnfinishedOrder, signerInfo: s.signerInfo,
	}
}

// signDocScopes are the scopes of SignDoc. A call needs one of them.
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

func refuseLTA(w http.ResponseWriter, why admission) {
	reason := map[admission]string{
		tokenMissing: "access token is missing",
		tokenInvalid: "access token is invalid or expired",
		scopeMissing: "access token lacks scope " + bankid.ScopeQTSA,
	}[why]
	respondJSON(w, http.StatusForbidden, reason)
}

// create opens an order. The token is checked before the body is read.
func (p *padesAPI) create(w http.ResponseWriter, r *http.Request) {
	if !p.admit(w, r) {
		return
	}
	var request orderRequest
	failed := readDocuments(w, r, func(body jsonReader) (err error) {
		request, err = p.decode(body)
		return err
	})
	if failed != nil {
		respondJSON(w, failed.status, failed.reason)
		return
	}
	if request.extendToLTA && !p.freeLTA && p.tokens.admit(r, bankid.ScopeQTSA) != admitted {
		p.refuse(w, scopeMissing)
		return
	}
	refusal, ok := inspect(request.documents, p.rule)
	if ok && request.convert {
		refusal, ok = inspect(request.documents, noSignatures)
	}
	if !ok {
		respondJSON(w, http.StatusBadRequest, refusal)
		return
	}
	request.nnin = p.tokens.admit(r, bankid.ScopeNNIN) == admitted
	respondJSON(w, p.created, map[string]string{"sign_id": p.orders.add(p.path, p.owner(r), request)})
}

// status tells the state of an order.
func (p *padesAPI) status(w http.ResponseWriter, r *http.Request) {
	id, ok := p.order(w, r)
	if !ok {
		return
	}
	found, ok := p.orders.status(id)
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case p.plain:
		respondJSON(w, http.StatusOK, plainStatus{SignID: found.SignID, State: found.State})
	default:
		respondJSON(w, http.StatusOK, found)
	}
}

// fetch hands the documents out and destroys the order.
func (p *padesAPI) fetch(w http.ResponseWriter, r *http.Request) {
	id, ok := p.order(w, r)
	if !ok {
		return
	}
	taken, status, ok := p.orders.take(id)
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case taken == nil:
		respondJSON(w, p.unfinished, "the order is not complete: "+status.State)
		return
	}
	result := orderResult{orderStatus: status, Results: make([]documentResult, len(taken.documents))}
	for i, d := range taken.documents {
		result.Results[i] = taken.content.result(d)
	}
	if taken.content.signerInfo {
		var err error
		if result.SignerInfo, err = p.signerInfo(taken); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
	}
	respondJSON(w, http.StatusOK, result)
}

// order returns the order that a call is about, or refuses the call.
func (p *padesAPI) order(w http.ResponseWriter, r *http.Request) (orderID, bool) {
	if !p.admit(w, r) {
		return orderID{}, false
	}
	signIDs := r.URL.Query()["sign_id"]
	if len(signIDs) != 1 || signIDs[0] == "" {
		respondJSON(w, http.StatusBadRequest, "sign_id must be given once")
		return orderID{}, false
	}
	return orderID{path: p.path, client: p.owner(r), signID: signIDs[0]}, true
}

// owner returns the client whose orders a call is about.
func (p *padesAPI) owner(r *http.Request) string {
	if p.shared {
		return ""
	}
	return p.tokens.client(r)
}

func (p *padesAPI) admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	why := p.tokens.admit(r, p.scopes...)
	if why != admitted {
		p.refuse(w, why)
	}
	return why == admitted
}
