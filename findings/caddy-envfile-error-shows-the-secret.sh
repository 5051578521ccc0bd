#!/usr/bin/env bash
# Caddy writes the value of an environment file that it cannot read to its log.
#
# Software:  Caddy v2.11.9 (cmd/main.go, parseEnvFile).
# Behaviour: A space after the equals sign is an error, which quotes the value: on the
#            standard error, where services log.
# Surprise:  Environment files are where secrets are. One space too many, and the secret is in
#            the journal, and in whatever collects it.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null
echo 'CLIENT_SECRET= not-for-the-log' >file.env
want="parsing environment file: invalid value on line 1: whitespace before value: ' not-for-the-log'"
status=0
./caddy validate --envfile file.env >out 2>&1 || status=$?
cat out
[[ $status -ne 0 ]]
grep -qF "$want" out
