#!/usr/bin/env bash
# The one gate: people and CI run the same. It stops at the first step that fails and says what to do.
#
#   scripts/check.sh            everything
#   FUZZTIME=1000000x scripts/check.sh
#
# Needs Go and, for all tests to run, mosquitto and strace. The network is used for Go modules only.
set -euo pipefail
cd "$(dirname "$0")/.."

# A version that is known to work; a newer one may know new complaints.
STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.0
# Counted, not timed: up to Go 1.26 a time that runs out may fail a target that found nothing (https://go.dev/issue/75804).
FUZZTIME=${FUZZTIME:-20000x}
MAXLINES=450
MAXBINARY=14000000 # bytes of the stripped binary for linux/arm: it must fit small flash, and grow on purpose only

export GOFLAGS="${GOFLAGS:-} -buildvcs=false" # a checkout that belongs to someone else is no reason to fail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# step NAME ADVICE COMMAND...: the command's output is shown only if it fails.
step() {
	local name=$1 advice=$2 begin=$SECONDS
	shift 2
	printf '%-22s' "$name"
	if ! "$@" >"$scratch/out" 2>&1; then
		echo FAILED
		cat "$scratch/out"
		echo "check.sh: $name failed: $advice" >&2
		exit 1
	fi
	echo "ok  $((SECONDS - begin)) s"
}

sources() { find . -name '*.go' -not -path './.*'; }

formatted() {
	local files
	files=$(sources | xargs gofmt -l)
	[ -z "$files" ] || { echo "$files"; return 1; }
}

short() {
	local long=0 n file
	while read -r n file; do
		if [ "$file" != total ] && [ "$n" -gt "$MAXLINES" ]; then
			echo "$file: $n lines"
			long=1
		fi
	done < <(sources | xargs wc -l)
	return $long
}

cross() { # GOARCH GOARM
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOARM=$2 go build -trimpath -ldflags '-s -w' -o "$scratch/atbridge-$1" ./cmd/atbridge
}

small() {
	local size
	size=$(wc -c <"$scratch/atbridge-arm")
	echo "$size bytes"
	[ "$size" -le "$MAXBINARY" ]
}

# Every fuzz target for a few seconds. The corpora themselves have run with the tests.
fuzz() {
	local package target
	for package in $(go list ./...); do
		for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
			echo "$package $target"
			go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1x "$package" || return 1
		done
	done
}

step "gofmt"             "run gofmt -w on the files above"                         formatted
step "file length"       "split the file: at most $MAXLINES lines each"            short
step "go vet"            "mend what is listed above"                               go vet ./...
step "import rules"      "the reason stands beside each rule in scripts/imports_test.go" go test ./scripts
step "staticcheck"       "mend what is listed above"                               go run "$STATICCHECK" ./...
step "go mod verify"     "a module differs from go.sum; run go clean -modcache"    go mod verify
step "go mod tidy"       "run go mod tidy"                                         go mod tidy -diff
step "linux/amd64"       "it must build without cgo"                               cross amd64 ""
step "linux/arm64"       "it must build without cgo"                               cross arm64 ""
step "linux/arm, GOARM=6" "it must build without cgo"                              cross arm 6
step "size of the binary" "at most $MAXBINARY bytes for linux/arm, stripped"       small
step "tests, race"       "run go test -race on the package that failed"            go test -race -timeout 30m ./...
step "fuzz, $FUZZTIME each" "the input is kept in testdata/fuzz; go test repeats it" fuzz
echo "check.sh: everything passed"
