#!/usr/bin/env bash
# The figures that the project quotes, measured here and now: rates as shares of what the line allows, bytes of a TLS
# handshake, the engine beside its reference, and what the queue costs. All modems are simulated ones; no figure is of a real module.
#
#   scripts/figures.sh           all of them, about ten minutes
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
if wanted Queue; then
	echo "# the queue: 200 B from PUBLISH to settlement, one at a time and 50 at a time"
	bench ./bridge 'Outbox$' 2000x
	bench ./bridge 'OutboxBacklog' 20x
	echo "# 100,000 messages of 200 B: opened, and drained in order over path tcp on a line that is not paced"
	ATBRIDGE_BACKLOG=100000 go test ./cmd/atbridge -count=1 -v -run 'TestBacklog$' | sed -n 's/^.*_test.go:[0-9]*: \(backlog .*\)$/\1/p'
fi
if wanted Idle; then
	echo "# idle for 60 s with a session that stands, EC600 at 115200 baud: with the embedded broker, and with an existing one"
	scripts/idle.sh
fi
