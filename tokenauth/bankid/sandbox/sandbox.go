package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// Address is where the sandbox listens if it is served at the default issuer.
const Address = "127.0.0.1:9771"

// The client that the sandbox knows unless [Options] name another. The secret
// guards nothing; it has every character that a client must form-encode before
// it puts the secret into an HTTP Basic header (RFC 6749, section 2.3.1).
const (
	ClientID     = "sandbox-client"
	ClientSecret = "not/a:secret + 100%fake & public" //nolint:gosec // published on purpose
)

// The client that the sandbox has for B2B: it may ask for esign/b2b only, and
// must use DPoP. At BankID such a client can have a secret in test only.
const (
	B2BClientID     = "sandbox-b2b-client"
	B2BClientSecret = "not/a:secret + 100%fake & public b2b" //nolint:gosec // published on purpose
)

// Options configure a [Server]. The zero value is a working sandbox at the address
// of [bankid.Sandbox]; elsewhere, it needs its Issuer.
type Options struct {
	// Issuer is the issuer identifier, without a trailing slash. Its origin is
	// also where the APIs are said to be. Default: that of [bankid.Sandbox].
	Issuer string

	// ClientID and ClientSecret are the credentials of the built-in client for
	// all but B2B. Default: the constants of the same name.
	ClientID, ClientSecret string

	// Clients are further clients. One with the ID of a built-in client takes
	// its place: to register a key for B2B, give one with ID [B2BClientID] and
	// DPoPRequired.
	Clients []Client

	// TokenLifetime is how long access tokens live, in whole seconds.
	// Default: 300 s, as at BankID.
	TokenLifetime time.Duration

	// SigningDelay is how long an order waits until it is complete by itself,
	// in place of a person who signs. Default: 1 s.
	SigningDelay time.Duration

	// Assumptions are about what BankID does not document. Default: the
	// likelier readings.
	Assumptions Assumptions
}

// A Server is a simulated BankID. It is safe for concurrent use.
type Server struct {
	issuer string // issuer identifier
	origin string // of the issuer, and so of the APIs

	tokenPath string // of the token endpoint
	assume    Assumptions
	clock     *clock
	faults    faults
	nonces    nonces

	clients    *clients
	assertions *assertions
	proofs     *proofs
	tokens     *accessTokens
	orders     *orders
	ca         *certAuthority
	tsa        *timestampAuthority

	signerInfoKeys signingKeys
	sealer         func() (*sealer, error) // made when it is first needed: that takes a while
	endpoint       map[string]methods      // by escaped path

	// CSC
	codes         *codes
	serviceTokens *serviceTokens
}

// methods are the handlers of one path, by request method.
type methods map[string]http.HandlerFunc

// New makes a sandbox with a signing key of its own. Its errors are those of
// [Options.Validate].
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	issuer, clients, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	origin := issuer.Scheme + "://" + issuer.Host
	clock := new(clock)
	tokens, err := newAccessTokens(o.Issuer, origin, o.TokenLifetime, clock)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	ca, err := newCertAuthority(origin, clock)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	tsa, err := newTimestampAuthority(ca)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Server{
		issuer:     o.Issuer,
		origin:     origin,
		tokenPath:  issuer.EscapedPath() + tokenPath,
		assume:     o.Assumptions,
		clock:      clock,
		clients:    clients,
		assertions: newAssertions(o.Issuer, clock),
		proofs:     newProofs(origin, o.Assumptions.IgnoreProofQuery, clock),
		tokens:     tokens,
		orders:     newOrders(o.SigningDelay, o.Assumptions.OrderRetention),
		ca:         ca,
		tsa:        tsa,
		sealer:     sync.OnceValues(func() (*sealer, error) { return newSealer(ca) }),

		codes:         newCodes(o.Assumptions.CodeLifetime, clock),
		serviceTokens: newServiceTokens(o.Assumptions.ServiceTokenLifetime, o.Assumptions.SADLifetime, clock),
	}
	if err := s.signerInfoKeys.rotate(false); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.endpoint = s.endpoints(issuer.EscapedPath())
	return s, nil
}

// Validate returns an error if there cannot be a sandbox with these options: if the
// issuer is not an issuer identifier, if a lifetime is negative or is not in whole seconds
// although it has to be, if an assumption has a value that is not listed, or if a client
// is incomplete.
func (o Options) Validate() error {
	if _, _, err := o.withDefaults().check(); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// check returns what the options say of the issuer and of the clients.
func (o Options) check() (*url.URL, *clients, error) {
	issuer, err := url.Parse(o.Issuer)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("issuer: %w", err)
	case issuer.Scheme != "http" && issuer.Scheme != "https", issuer.Host == "", issuer.User != nil,
		issuer.RawQuery != "", issuer.Fragment != "", strings.HasSuffix(o.Issuer, "/"):
		return nil, nil, fmt.Errorf("issuer %q is not an http or https URL without user, query, fragment and final slash", o.Issuer)
	case !wholeSeconds(o.TokenLifetime):
		return nil, nil, fmt.Errorf("token lifetime %v is not a number of whole seconds", o.TokenLifetime)
	case o.SigningDelay < 0:
		return nil, nil, errors.New("signing delay is negative")
	}
	if err := o.Assumptions.validate(); err != nil {
		return nil, nil, fmt.Errorf("assumptions: %w", err)
	}
	clients, err := newClients(o.builtinClients(), o.Clients)
	return issuer, clients, err
}

func (o Options) withDefaults() Options {
	if o.Issuer == "" {
		o.Issuer = bankid.Sandbox.Issuer
	}
	if o.ClientID == "" {
		o.ClientID = ClientID
	}
	if o.ClientSecret == "" {
		o.ClientSecret = ClientSecret
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = 300 * time.Second
	}
	if o.SigningDelay == 0 {
		o.SigningDelay = time.Second
	}
	o.Assumptions = o.Assumptions.withDefaults()
	return o
}

// endpoints lists all that the sandbox serves; realm is the issuer's path.
func (s *Server) endpoints(realm string) map[string]methods {
	signdoc, signdocV0, lta := s.signDoc(), s.signDocV0(), s.lta()
	convert, convertV0 := s.convertV1(), s.convertV0()
	all := map[string]methods{
		realm + discoveryPath: {http.MethodGet: s.discovery},
		realm + jwksPath:      {http.MethodGet: s.jwks},
		realm + tokenPath:     {http.MethodPost: s.token},

		"/v1/signdoc/pades": {
			http.MethodPost:   signdoc.create,
			http.MethodGet:    signdoc.status,
			http.MethodDelete: signdoc.fetch,
		},
		"/v1/signdoc/convert":           {http.MethodPost: convert.convert},
		"/v1/signdoc/convert/pdf/specs": {http.MethodGet: convert.specs},
		"/v1/signdoc/jwks":              {http.MethodGet: s.signerInfoJWKS},

		"/signdoc/pades": {
			http.MethodPost:   signdocV0.create,
			http.MethodGet:    signdocV0.status,
			http.MethodDelete: signdocV0.fetch,
		},
		"/signdoc/convert":           {http.MethodPost: convertV0.convert},
		"/signdoc/convert/pdf":       {http.MethodPost: convertV0.convert},
		"/signdoc/convert/pdf/specs": {http.MethodGet: convertV0.specs},

		"/v1/timestamp/pades/lta": {
			http.MethodPost:   lta.create,
			http.MethodGet:    lta.status,
			http.MethodDelete: lta.fetch,
		},
		"/v1/timestamp/token": {http.MethodPost: s.timestampToken},

		controlPath + "orders": {http.MethodPost: s.driveOrder},
		personsPath:            {http.MethodGet: s.persons},
		controlPath + "ca.pem": {http.MethodGet: s.caCertificate},
		rootPath:               {http.MethodGet: s.certificate(s.ca.root)},
		rootCRLPath:            {http.MethodGet: s.revocationList(s.ca.root)},
		authorityPath:          {http.MethodGet: s.certificate(s.ca.Authority)},
		authorityCRLPath:       {http.MethodGet: s.revocationList(s.ca.Authority)},
		ocspPath:               {http.MethodPost: s.ocspPost},
		ocspPath + "/":         {http.MethodGet: s.ocspGet}, // and what begins with it
		logoPath:               {http.MethodGet: logo},
		controlPath + "jwks":   {http.MethodPut: s.registerKeys},
		controlPath + "faults": {
			http.MethodPost:   s.injectFault,
			http.MethodGet:    s.listFaults,
			http.MethodDelete: s.endFaults,
		},

		"/csc/v2/info":                  {http.MethodPost: s.cscInfo},
		"/csc/v2/oauth2/authorize":      {http.MethodGet: s.cscAuthorize},
		"/csc/v2/oauth2/token":          {http.MethodPost: s.cscToken},
		"/csc/v2/credentials/list":      {http.MethodPost: cscEndpoint(s, credentialsList, s.listCredentials)},
		"/csc/v2/credentials/info":      {http.MethodPost: cscEndpoint(s, credentialsInfo, s.describeCredential)},
		"/csc/v2/credentials/authorize": {http.MethodPost: cscEndpoint(s, credentialsAuthorize, s.authorizeCredential)},
		"/csc/v2/signatures/signHash":   {http.MethodPost: cscEndpoint(s, signHash, s.signHashes)},

		b2bCSCPath + "/info": {http.MethodGet: s.b2bCSCInfo, http.MethodPost: s.b2bCSCInfo},
	}
	for path, handle := range s.b2bSigner() {
		all["/v0/b2b/"+path] = methods{http.MethodPost: handle}
	}
	for path, handle := range s.b2bCSC() {
		all[b2bCSCPath+"/"+path] = methods{http.MethodPost: handle}
	}
	return all
}

// ServeHTTP responds as BankID would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Bankid-Esign-Environment", "sandbox")
	s.date(w)
	// Not http.ServeMux: it redirects "//csc/v2/info" and answers "%2e"; BankID
	// is not known to, and a gateway that sends such a path has a bug.
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, ocspPath+"/") {
		path = ocspPath + "/"
	}
	allowed, ok := s.endpoint[path]
	if !ok {
		http.Error(w, "the sandbox has no such path", http.StatusNotFound)
		return
	}
	handle, ok := allowed[r.Method]
	if !ok {
		takes := strings.Join(slices.Sorted(maps.Keys(allowed)), ", ")
		w.Header().Set("Allow", takes)
		http.Error(w, "the sandbox has no such method at this path: it takes "+takes, http.StatusMethodNotAllowed)
		return
	}
	s.afflict(handle, s.faultsOf(r))(w, r)
}

// date says what time it is for the sandbox, if net/http would say another.
func (s *Server) date(w http.ResponseWriter) {
	if s.clock.moved() != 0 {
		w.Header().Set("Date", s.clock.now().UTC().Format(http.TimeFormat))
	}
}
