#!/usr/bin/env bash
# The packages, as a machine meets them: made twice with equal bytes, then installed, run as the service's user, upgraded over
# a queue of 1,000 messages, removed and purged in a Debian of its own (debootstrap). Nothing of this machine is changed.
#
#   sudo scripts/package-test.sh
#
# Needs root, debootstrap, mosquitto and mosquitto-clients. MIRROR and SUITE choose another Debian. Exit code 3: no Debian
# could be fetched, so that nothing is known of the packages but that they are made.
set -euo pipefail
cd "$(dirname "$0")/.."
MIRROR=${MIRROR:-http://deb.debian.org/debian} SUITE=${SUITE:-bookworm}
LOCAL=18831 CLOUD=18832 # ports, below the ephemeral ones

for program in debootstrap mosquitto mosquitto_pub mosquitto_sub; do
	command -v $program >/dev/null || { echo "package-test.sh: $program is missing; apt-get install debootstrap mosquitto mosquitto-clients" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "package-test.sh: debootstrap and chroot need root" >&2; exit 2; }

scratch=$(mktemp -d) root=$scratch/root running=()
chmod 755 "$scratch"
cleanup() {
	for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$scratch"
}
trap cleanup EXIT

fail() { echo "package-test.sh: $*" >&2; exit 1; }
within() { chroot "$root" "$@"; }
await() { # SENTENCE COMMAND...: within 30 s
	local sentence=$1 end=$((SECONDS + 30))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { cat "$scratch"/*.log >&2; fail "not within 30 s: $sentence"; }
		sleep 0.2
	done
}

# The service's user, without privileges and without a way to any.
start() {
	chroot "$root" setpriv --reuid atbridge --regid atbridge --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
		/usr/bin/atbridge run --config /etc/atbridge/atbridge.yaml >>"$scratch/daemon.log" 2>&1 &
	daemon=$!
	running+=("$daemon")
	await "the daemon answers" within atbridge status
}

stop() {
	kill "$daemon"
	wait "$daemon" || fail "SIGTERM ended the daemon with exit code $?"
}

queued() { # N: the daemon says that so many messages wait
	within atbridge status --json | grep -q "\"queue\":{\"messages\":$1,"
}

step() { echo "package-test.sh: $*"; }

step "two builds of one commit"
VERSION=0.0.1 scripts/package.sh "$scratch/one" >/dev/null
VERSION=0.0.1 scripts/package.sh "$scratch/two" >/dev/null
cmp "$scratch/one/SHA256SUMS" "$scratch/two/SHA256SUMS" || fail "the same commit made other bytes"
(cd "$scratch/two" && sha256sum --quiet --check SHA256SUMS)
[ "$(wc -l <"$scratch/one/SHA256SUMS")" = 6 ] || fail "not three .deb and three tar.gz"
VERSION=0.0.2 scripts/package.sh "$scratch/next" >/dev/null
for arch in armhf arm64 amd64; do
	[ "$(dpkg-deb --field "$scratch/one/atbridge_0.0.1_$arch.deb" Architecture)" = $arch ] || fail "the package for $arch says otherwise"
done
arch=$(dpkg --print-architecture)

step "a Debian $SUITE of its own"
debootstrap --variant=minbase "$SUITE" "$root" "$MIRROR" >"$scratch/debootstrap.log" 2>&1 || {
	tail "$scratch/debootstrap.log" >&2
	echo "package-test.sh: no Debian could be made from $MIRROR; is it reachable?" >&2
	exit 3
}
cp "$scratch/one/atbridge_0.0.1_$arch.deb" "$scratch/next/atbridge_0.0.2_$arch.deb" "$root/"

step "install"
within dpkg --install "/atbridge_0.0.1_$arch.deb" >"$scratch/dpkg.log" 2>&1 || fail "$(cat "$scratch/dpkg.log")"
is() { # WHAT EXPECTED FOUND
	[ "$2" = "$3" ] || fail "$1 is $3, expected $2"
}
is "the configuration" "640 root:atbridge" "$(within stat -c '%a %U:%G' /etc/atbridge/atbridge.yaml)"
is "its directory" "750 root:atbridge" "$(within stat -c '%a %U:%G' /etc/atbridge)"
within id -nG atbridge | grep -qw dialout || fail "the user is not in dialout"
within setpriv --reuid atbridge --regid atbridge --init-groups atbridge check --config /etc/atbridge/atbridge.yaml >/dev/null ||
	fail "the configuration that is installed is not sound"
for file in /usr/lib/systemd/system/atbridge.service /usr/lib/systemd/system/atbridge@.service /usr/lib/udev/rules.d/61-atbridge.rules \
	/usr/share/bash-completion/completions/atbridge /usr/share/zsh/vendor-completions/_atbridge \
	/usr/share/fish/vendor_completions.d/atbridge.fish; do
	[ -s "$root$file" ] || fail "$file is missing"
done
# Documentation may be left out by the machine's dpkg.cfg; the package has it.
dpkg-deb --contents "$root/atbridge_0.0.1_$arch.deb" >"$scratch/contents" # grep -q would end a pipe before dpkg-deb has
grep -q '/usr/share/man/man1/atbridge-run.1.gz' "$scratch/contents" || fail "there is no man page"

step "run as the service's user, 1,000 messages, no broker to be reached"
# What systemd would make by StateDirectory= and RuntimeDirectory=.
within install -d -o atbridge -g atbridge -m 0700 /var/lib/atbridge
within install -d -o atbridge -g atbridge -m 0755 /run/atbridge
cat >"$root/etc/atbridge/atbridge.yaml" <<END
cloud: {broker: "mqtt://127.0.0.1:$CLOUD", client_id: packaged}
path: {mode: host}
local: {listen: "127.0.0.1:$LOCAL"}
routes: {up: [{from: "sensors/#", to: "site7/sensors/#"}]}
END
start
seq 1 1000 | mosquitto_pub -h 127.0.0.1 -p $LOCAL -t sensors/n -q 1 -l
await "1,000 messages are queued" queued 1000

step "upgrade"
within dpkg --install "/atbridge_0.0.2_$arch.deb" >"$scratch/dpkg.log" 2>&1 || fail "$(cat "$scratch/dpkg.log")"
stop # there is no systemd here whose try-restart would
start
within atbridge version | grep -q v0.0.2 || fail "the program is not the new one: $(within atbridge version)"
await "the new program has the 1,000 messages" queued 1000
grep -q "127.0.0.1:$CLOUD" "$root/etc/atbridge/atbridge.yaml" || fail "the upgrade took the configuration"
printf 'listener %s 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n' $CLOUD >"$scratch/cloud.conf"
mosquitto -c "$scratch/cloud.conf" >"$scratch/cloud.log" 2>&1 &
running+=($!)
await "the broker listens" mosquitto_pub -h 127.0.0.1 -p $CLOUD -t hello -n
timeout 60 mosquitto_sub -h 127.0.0.1 -p $CLOUD -t 'site7/#' -q 1 -C 1000 >"$scratch/arrived" || fail "only $(wc -l <"$scratch/arrived") of 1,000 arrived"
is "what arrived" "$(seq 1 1000)" "$(cat "$scratch/arrived")"
await "the queue is empty" queued 0
echo last | mosquitto_pub -h 127.0.0.1 -p $LOCAL -t sensors/n -q 1 -s
stop

step "remove"
within dpkg --remove atbridge >"$scratch/dpkg.log" 2>&1 || fail "$(cat "$scratch/dpkg.log")"
[ ! -e "$root/usr/bin/atbridge" ] || fail "removing left the program"
[ -n "$(ls "$root/var/lib/atbridge")" ] || fail "removing took the queue"
[ -e "$root/etc/atbridge/atbridge.yaml" ] || fail "removing took the configuration"

step "purge"
within dpkg --purge atbridge >"$scratch/dpkg.log" 2>&1 || fail "$(cat "$scratch/dpkg.log")"
for gone in /var/lib/atbridge /etc/atbridge; do
	[ ! -e "$root$gone" ] || fail "purging left $gone"
done
! within getent passwd atbridge >/dev/null || fail "purging left the user"
step "all of it holds"
