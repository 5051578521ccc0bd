#!/usr/bin/env bash
# Caddy reads a quoted value of an environment file only up to the first "#".
#
# Software:  Caddy v2.11.9 (cmd/main.go, parseEnvFile).
# Behaviour: SECRET="ab#cd" of a file for --envfile is ab, with or without quotation marks,
#            and without a word: what follows "#" is taken for a comment before the quotation
#            marks are looked at. bash and systemd's EnvironmentFile= read ab#cd there.
# Surprise:  A client secret with "#" in it is cut short, and the provider says only that the
#            client is not authorized. No way of writing the file keeps it.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
GOBIN=$dir go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null
cat >file.env <<'ENV'
FINDING_DOUBLE="ab#cd"
FINDING_SINGLE='ab#cd'
FINDING_NONE=ab#cd
ENV
want='caddy: FINDING_DOUBLE=ab
caddy: FINDING_NONE=ab
caddy: FINDING_SINGLE=ab
bash: ab#cd ab#cd ab#cd'
got=$(
	./caddy environ --envfile file.env | grep '^FINDING_' | sort | sed 's/^/caddy: /'
	# shellcheck disable=SC1091,SC2154
	(source ./file.env && echo "bash: $FINDING_DOUBLE $FINDING_SINGLE $FINDING_NONE")
)
echo "$got"
[[ $got == "$want" ]]
