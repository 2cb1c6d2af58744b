#!/usr/bin/env bash
# The figures that the project quotes, measured here and now: rates as shares of what the line allows, bytes of a TLS
# handshake, and the engine beside its reference. All modems are simulated ones; no figure is of a real module.
#
#   scripts/figures.sh           all of them, about six minutes
#   scripts/figures.sh TCP       the benchmarks whose names match
set -euo pipefail
cd "$(dirname "$0")/.."

bench() { # PACKAGE PATTERN TIME
	go test "$1" -run '^$' -bench "$2" -benchtime "$3" | grep -E '^Benchmark'
}

only=${1:-}
wanted() { [[ "$1" == *"$only"* ]]; }

if wanted Native; then
	echo "# path native, EC600 at 115200 baud, 100 B at QoS 1, by round trip"
	bench ./modems/modemtest Native 300x
fi
if wanted TCP; then
	echo "# path tcp, EC600 at 115200 baud, QoS 1, by payload and round trip"
	bench ./bridge TCP 500x
fi
if wanted TLS; then
	echo "# TLS 1.3 on the host, an ECDSA chain"
	go test ./bridge/mqtt -count=1 -v -run TestTLSBytes | sed -n 's/^.*_test.go:[0-9]*: \(with .*\)$/\1/p'
fi
if wanted Engine; then
	echo "# the AT engine beside warthog618/modem/at"
	bench ./atcmd 'Command|URC|Scanner' 1s
fi
