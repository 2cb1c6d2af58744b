#!/usr/bin/env bash
# What a daemon costs that has nothing to do: resident memory, CPU, and how often it wakes up, over path native of a simulated
# EC600, once with the embedded broker and once with an existing one.
#
#   scripts/idle.sh             a minute each
#   scripts/idle.sh SECONDS
#
# Needs mosquitto.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} port=18833

scratch=$(mktemp -d) running=()
cleanup() {
	for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$scratch"
}
trap cleanup EXIT
go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$scratch/atbridge" ./cmd/atbridge

printf 'listener %s 127.0.0.1\nallow_anonymous true\n' $port >"$scratch/mosquitto.conf"
mosquitto -c "$scratch/mosquitto.conf" >"$scratch/mosquitto.log" 2>&1 &
running+=($!)
"$scratch/atbridge" sim --modem ec600 --baud 115200 --link "$scratch/modem" >"$scratch/sim.log" 2>&1 &
running+=($!)

total() { # FIELD FILE: the sum over the threads of the daemon
	cat /proc/"$daemon"/task/*/"$2" | awk -v field="$1" 'field ~ /^[0-9]+$/ { n += $field; next } $1 == field { n += $2 } END { printf "%.0f", n }'
}

for side in 'listen: "127.0.0.1:18834"' "broker: \"mqtt://127.0.0.1:$port\""; do
	cat >"$scratch/atbridge.yaml" <<-END
		modem: {port: $scratch/modem}
		cloud: {broker: "mqtt://127.0.0.1:$port", client_id: idle}
		local: {$side}
		path: {mode: native}
		routes: {up: [{from: "sensors/#", to: "site7/sensors/#"}]}
		queue: {dir: $scratch/queue}
		status: {socket: $scratch/sock}
	END
	"$scratch/atbridge" run --config "$scratch/atbridge.yaml" 2>"$scratch/log" &
	daemon=$!
	running+=($daemon)
	for ((i = 0; ; i++)); do
		"$scratch/atbridge" status --json --socket "$scratch/sock" 2>/dev/null | grep -q '"state":"online"' && break
		[ $i -lt 300 ] || { cat "$scratch/log" >&2; exit 1; }
		sleep 0.2
	done
	sleep 5 # what a session's beginning leaves to do
	wakes=$(total voluntary_ctxt_switches: status) cpu=$(total 1 schedstat)
	sleep "$seconds"
	wakes=$(($(total voluntary_ctxt_switches: status) - wakes)) cpu=$(($(total 1 schedstat) - cpu))
	awk -v side="${side%%:*}" -v s="$seconds" -v wakes=$wakes -v cpu=$cpu -v rss="$(awk '/VmRSS/ { print $2 }' /proc/$daemon/status)" \
		'BEGIN { printf "local.%-7s RSS %.1f MB, CPU %.3f %% of a core, %.1f wake-ups/s\n", side, rss/1024, cpu/1e7/s, wakes/s }'
	kill $daemon
	wait $daemon
done
