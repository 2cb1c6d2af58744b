#!/usr/bin/env bash
# Everything breaks, one thing after the other, while messages go both ways: the daemon is killed, the cloud's broker
# is killed, the modem reboots, hangs, is unplugged, loses its network, its SIM card, its baud rate; the network is cut,
# the disk full. The modem is a simulated one, the rest is real. At the end every message that a local publisher has a
# PUBACK for must have arrived, and the times to notice and to recover are printed, fault by fault.
#
#   scripts/chaos.sh                   ten minutes, with a seed that is printed
#   scripts/chaos.sh 1h 42             an hour, in the order that seed 42 draws
#   MODELS="nt35e/native" scripts/chaos.sh 20m
#   ONLY="daemon killed" scripts/chaos.sh 5m
#   CALM=80s scripts/chaos.sh 2h       each fault alone: one that comes soon after another finds the daemon backing off
#
# Needs Go, mosquitto and Linux; no privileges. Each fault is made at least once, whatever the duration.
set -euo pipefail
cd "$(dirname "$0")/.."

export ATBRIDGE_CHAOS=${1:-10m}
export ATBRIDGE_CHAOS_SEED=${2:-$(date +%s)}
export ATBRIDGE_CHAOS_MODELS=${MODELS:-ec600/native ec600/tcp air724ug/native nt35e/native}
export ATBRIDGE_CHAOS_ONLY=${ONLY:-}
export ATBRIDGE_CHAOS_CALM=${CALM:-1500ms}
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

echo "seed $ATBRIDGE_CHAOS_SEED"
exec go test ./cmd/atbridge -run '^TestChaos$' -count=1 -v -timeout 0
