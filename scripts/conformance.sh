#!/usr/bin/env bash
# For every simulated module: 1,000 messages up and 200 down at once, at QoS 1, with payloads of every byte value, from
# the program's own broker through the module's stack at 115200 baud to a real mosquitto and back. It prints a row for
# each, and fails if a message is missing, changed, out of order or there twice, or the line was not clean.
#
#   scripts/conformance.sh           all of them
#   scripts/conformance.sh ec600     those whose names match
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT
result=0
ATBRIDGE_CI=1 ATBRIDGE_CONFORMANCE=1 go test -count=1 -timeout 30m -v -run "^TestConformance\$/^${1:-}" ./cmd/atbridge >"$out" 2>&1 || result=$?
echo '| modem | up | down | changed | twice | took |'
echo '|---|---|---|---|---|---|'
sed -n 's/^.*_test.go:[0-9]*: \(| .* |\)$/\1/p' "$out"
if [ "$result" -ne 0 ]; then
	cat "$out" >&2
fi
exit "$result"
