// Package itest tests the gateway against programs that are not part of it: a
// real OpenID provider (Keycloak, which BankID OIDC is built on) and a real
// browser (Chromium). It is a module of its own, so that nothing of this burdens
// the gateway's; `bash .ci/run` installs what it needs and runs it.
package itest
