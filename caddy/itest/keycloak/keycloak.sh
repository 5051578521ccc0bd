#!/usr/bin/env bash
# Runs Keycloak with the realm "current" until standard input ends:
#
#	keycloak.sh <version> <port>
#
# at http://127.0.0.1:<port>/auth/realms/current. The process that started the script
# has the other end of standard input, so Keycloak ends when that process ends. When
# this script has exited, Keycloak has exited too.
set -euo pipefail

version=${1:?usage: keycloak.sh <version> <port>}
port=${2:?usage: keycloak.sh <version> <port>}
case $version in
26.4.7) sha256=dd9834c023460be856f731423d86228c23b5d002194a2064642bec0cc6573eaa ;;
26.7.3) sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f ;;
*)
	echo "the checksum of version $version is not known" >&2
	exit 2
	;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Maven keeps downloaded files in its local repository.
repository=${MAVEN_REPO_LOCAL:-$HOME/.m2/repository}
zip=$repository/org/keycloak/keycloak-quarkus-dist/$version/keycloak-quarkus-dist-$version.zip
if [[ ! -f $zip ]]; then
	mvn -q -B dependency:get -Dmaven.repo.local="$repository" -Dtransitive=false \
		-Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" </dev/null
fi
sha256sum --check --quiet <<<"$sha256  $zip"

# Every run has a folder of its own, since Keycloak writes into its installation.
home=$(mktemp -d)
server='' watch=''
stop() {
	trap - EXIT
	if [[ $server ]]; then
		kill -TERM -- "-$server" 2>/dev/null || true
		for ((i = 0; i < 100; i++)); do
			kill -0 -- "-$server" 2>/dev/null || break
			sleep 0.2
		done
		kill -KILL -- "-$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	if [[ $watch ]]; then kill "$watch" 2>/dev/null || true; fi
	rm -rf "$home"
}
trap stop EXIT
trap 'exit 143' TERM
trap 'exit 130' INT HUP

unzip -q "$zip" -d "$home"
dist=$home/keycloak-$version
mkdir -p "$dist/data/import"
cp "$here/realm-current.json" "$dist/data/import/"

# With job control, the server has a process group of its own, which can be ended as a
# whole.
set -m
unset DEBUG
JAVA_OPTS_APPEND='-XX:TieredStopAtLevel=1' "$dist/bin/kc.sh" start-dev --import-realm \
	--db=dev-mem --http-host=127.0.0.1 --http-port="$port" --http-relative-path=/auth </dev/null &
server=$!
exec 3<&0
cat <&3 >/dev/null &
watch=$!
set +m
wait -n "$server" "$watch" || true
