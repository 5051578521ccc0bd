package caddyesign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// identities tells the callers of a handler apart.
type identities struct {
	machine string // for callers on this machine
	once    sync.Once
	realms  []realm // of the handler's users
}

// callerIdentity returns who makes r, by an authentication handler and its realm, by a
// verified client certificate, or by the machine if only programs on it may call. It
// returns "" if none of them tells.
func (h *Handler) callerIdentity(r *http.Request) string {
	if id := authenticatedUser(r); id != "" {
		realm, known := h.identities.realmOf(r, h)
		if !known {
			return ""
		}
		return fmt.Sprintf("user:%q%s", id, realm)
	}
	if hasVerifiedCertificate(r) {
		// A renewed certificate for the same key belongs to the same caller.
		key := sha256.Sum256(r.TLS.VerifiedChains[0][0].RawSubjectPublicKeyInfo)
		return "key:" + hex.EncodeToString(key[:])
	}
	if h.Callers == callersLocal {
		return callersLocal + ":" + h.identities.machine
	}
	return ""
}

// realmOf returns what distinguishes a user of r, which h handles, from users of the same
// name that other authentication handlers know. known is false if there are several, and
// r does not tell any more which of them it has passed.
func (i *identities) realmOf(r *http.Request, h *Handler) (realm string, known bool) {
	i.once.Do(func() {
		server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
		i.realms = realmsBefore(server, h)
	})
	var of strings.Builder
	for _, realm := range i.realms {
		if len(i.realms) == 1 || realm.matches(r) {
			of.WriteString("@" + realm.digest)
		}
	}
	return of.String(), len(i.realms) < 2 || of.Len() > 0
}

// machineIdentity returns a text that differs on each machine: programs on one machine do
// not get what is kept for programs on another. It differs in each container too.
func machineIdentity() string {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		id = nil // there is none on other systems, and in many containers
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return strings.TrimSpace(string(id)) + "/" + name
}
