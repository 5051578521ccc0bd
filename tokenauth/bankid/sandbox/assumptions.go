package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Assumptions are about what BankID's public pages leave open, and what a
// client of BankID has to cope with either way. The zero value is the likelier
// reading of each; see the package documentation for those without a choice.
type Assumptions struct {
	// SignDocForbids says that SignDoc v1 answers a missing or bad token with
	// 403, as SignDoc v0 does. Default: with 401.
	SignDocForbids bool

	// CreatedOrder is the status of the response to a new order of SignDoc v1 or
	// timestamping: 201 or 200. Default: 201, which SignDoc v0 has.
	CreatedOrder int

	// StateMember is the member that has the state in the status of an order of
	// SignDoc v1 or timestamping: "orderState", beside "signId" and "orderName" as in
	// SignDoc v0, or "status", beside "sign_id" alone. Default: "orderState".
	StateMember string

	// ExtendWithoutScope says that an order may ask for extendToLTA with a token that
	// lacks the scope esign/qtsa. Default: such an order is refused, as a call with
	// an insufficient scope is.
	ExtendWithoutScope bool

	// UnfinishedOrder is the status of the DELETE of an order that is not
	// complete, from 400 to 499. Default: 400.
	UnfinishedOrder int

	// OrderRetention is how long an order of SignDoc or timestamping can be
	// collected, from its creation. Default: 2 h.
	OrderRetention time.Duration

	// SharedOrders says that every client may ask for and download the orders of SignDoc
	// and timestamping. Default: only the client that created an order; for others there
	// is none.
	SharedOrders bool

	// CodeLifetime is that of CSC's authorization codes. Default: 60 s.
	CodeLifetime time.Duration

	// ServiceTokenLifetime is that of CSC's service tokens, in whole seconds.
	// Default: 300 s.
	ServiceTokenLifetime time.Duration

	// SADLifetime is that of CSC's signature activation data, in whole seconds.
	// Default: 60 s.
	SADLifetime time.Duration

	// B2BNonce says that B2B demands a nonce in each DPoP proof (RFC 9449,
	// section 9). Default: it does not. For the token endpoint, and for a while,
	// there is [DemandNonce].
	B2BNonce bool

	// IgnoreProofQuery says that the URL of a DPoP proof may have a query, which
	// does not count, as at Keycloak. Default: such a proof is refused.
	IgnoreProofQuery bool

	// BadProof is the error code of the token endpoint for a bad DPoP proof:
	// "invalid_dpop_proof" or "invalid_request", as versions of Keycloak differ.
	// Default: the former.
	BadProof string

	// BadExchange is the error code of CSC's token route for a missing or bad token of
	// BankID OIDC, with status 401: "invalid_client", or "invalid_token" of RFC 6750.
	// Default: the former, which is the only 401 of this route in BankID's document; it
	// does not say what for.
	BadExchange string

	// TokenType is how the token endpoint spells the type of bearer tokens.
	// Default: "bearer", as BankID documents it.
	TokenType string
}

func (a Assumptions) withDefaults() Assumptions {
	if a.CreatedOrder == 0 {
		a.CreatedOrder = http.StatusCreated
	}
	if a.StateMember == "" {
		a.StateMember = "orderState"
	}
	if a.UnfinishedOrder == 0 {
		a.UnfinishedOrder = http.StatusBadRequest
	}
	if a.BadProof == "" {
		a.BadProof = "invalid_dpop_proof"
	}
	if a.BadExchange == "" {
		a.BadExchange = "invalid_client"
	}
	if a.TokenType == "" {
		a.TokenType = "bearer"
	}
	for _, lifetime := range []struct {
		of         *time.Duration
		assumption time.Duration
	}{
		{&a.OrderRetention, 2 * time.Hour},
		{&a.CodeLifetime, time.Minute}, // Keycloak's default
		{&a.ServiceTokenLifetime, 5 * time.Minute},
		{&a.SADLifetime, time.Minute},
	} {
		if *lifetime.of == 0 {
			*lifetime.of = lifetime.assumption
		}
	}
	return a
}

func (a Assumptions) validate() error {
	switch {
	case a.CreatedOrder != http.StatusOK && a.CreatedOrder != http.StatusCreated:
		return fmt.Errorf("CreatedOrder %d is neither 200 nor 201", a.CreatedOrder)
	case a.StateMember != "orderState" && a.StateMember != "status":
		return fmt.Errorf("StateMember %q is neither orderState nor status", a.StateMember)
	case a.UnfinishedOrder < 400 || a.UnfinishedOrder > 499:
		return fmt.Errorf("UnfinishedOrder %d is not from 400 to 499", a.UnfinishedOrder)
	case a.OrderRetention < 0:
		return errors.New("OrderRetention is negative")
	case a.CodeLifetime < 0:
		return errors.New("CodeLifetime is negative")
	case !wholeSeconds(a.ServiceTokenLifetime):
		return fmt.Errorf("ServiceTokenLifetime %v is not a number of whole seconds", a.ServiceTokenLifetime)
	case !wholeSeconds(a.SADLifetime):
		return fmt.Errorf("SADLifetime %v is not a number of whole seconds", a.SADLifetime)
	case a.BadProof != "invalid_dpop_proof" && a.BadProof != "invalid_request":
		return fmt.Errorf("BadProof %q is neither invalid_dpop_proof nor invalid_request", a.BadProof)
	case a.BadExchange != "invalid_token" && a.BadExchange != "invalid_client":
		return fmt.Errorf("BadExchange %q is neither invalid_client nor invalid_token", a.BadExchange)
	case !strings.EqualFold(a.TokenType, "bearer"):
		return fmt.Errorf("TokenType %q is not a spelling of bearer", a.TokenType)
	}
	return nil
}

// wholeSeconds reports whether a response can say how long something lives.
func wholeSeconds(lifetime time.Duration) bool {
	return lifetime >= time.Second && lifetime%time.Second == 0
}
