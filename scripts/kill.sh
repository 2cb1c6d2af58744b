#!/usr/bin/env bash
# Kills the daemon and its queue with kill -9, over and over, and looks for every message that the local broker had
# acknowledged by then: the publishers' own logs of PUBACKs are the only truth. The suite does a dozen of each.
#
#   scripts/kill.sh              200 kills, about ten minutes
#   scripts/kill.sh 1000         more
#   scripts/kill.sh 200 4711     with the seed of an earlier run
set -euo pipefail
cd "$(dirname "$0")/.."

export ATBRIDGE_KILLS=${1:-200} ATBRIDGE_SEED=${2:-$RANDOM$RANDOM} ATBRIDGE_CUTS=12 ATBRIDGE_CI=1
echo "seed $ATBRIDGE_SEED"

run() { # SENTENCE PACKAGE TEST
	echo "# $1"
	go test "$2" -run "^$3\$" -count=1 -v -timeout 2h | grep -E '_test.go:|^(---|ok|FAIL|panic)'
}

run "the daemon, path host against mosquitto" ./cmd/atbridge TestKillHost
run "the daemon with a simulated EC600, a tenth as often: its modem needs time after each" ./cmd/atbridge TestKill
run "the queue alone" ./bridge TestOutboxSurvivesKill
run "the queue at every call that writes, and power cuts at every sync" ./bridge TestOutboxSurvivesEveryCall
