// Package itest tests the gateway against programs that are not part of it: real
// OpenID providers (Keycloak, which BankID OIDC is built on, oidc-provider, which is
// certified, Spring Authorization Server and mock-oauth2-server), keys in hardware
// (SoftHSM2, behind Keycloak), a real browser
// (Chromium), which also uses the pages of the sandbox, callers in the languages that
// applications are written in, and a proxy that does to connections what networks do
// (toxiproxy). A minute of changes under load is tested here too. It is a module of its own,
// so that nothing of this burdens the gateway's; `bash .ci/run` installs what it needs and
// runs it.
package itest
