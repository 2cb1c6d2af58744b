#!/usr/bin/env bash
# Mutants: does a test really notice the fault that it is there for? Each scripts/mutants/NAME.patch is a small fault,
# with a header that says where it must be noticed:
#
#   # why: a window that lets one publish too many through
#   # package: ./bridge/mqtt
#   # run: TestWindow
#
# For each of them the named test must pass before the patch and fail with it. All this happens in a copy of the tree.
#
#   scripts/mutate.sh              all of them
#   scripts/mutate.sh mqtt- exit   those whose names contain one of the words
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d) out=$(mktemp)
tar --exclude=./.git -cf - . | tar -xf - -C "$scratch"
export GIT_CEILING_DIRECTORIES=$scratch GOFLAGS="${GOFLAGS:-} -buildvcs=false"
trap 'rm -rf "$scratch" "$out"' EXIT

header() { sed -n "s/^# $2: //p" "$1" | head -n 1; }
verify() { (cd "$scratch" && go test -count=1 -timeout 120s -run "$2" "$1") >"$out" 2>&1; }

failures=0
bad() { # NAME SENTENCE
	echo "$1: $2"
	failures=$((failures + 1))
}

ran=0
for file in scripts/mutants/*.patch; do
	name=$(basename "$file" .patch)
	if [ $# -gt 0 ]; then
		wanted=
		for word in "$@"; do
			case $name in *"$word"*) wanted=1 ;; esac
		done
		[ -n "$wanted" ] || continue
	fi
	ran=$((ran + 1))
	package=$(header "$file" package) run=$(header "$file" run)
	if [ -z "$package" ] || [ -z "$run" ]; then
		bad "$name" "the header lacks package or run"
		continue
	fi
	if ! verify "$package" "$run"; then
		bad "$name" "$run fails without the mutant; mend that first"
		tail -n 20 "$out"
		continue
	fi
	if ! (cd "$scratch" && git apply -p1 --recount) <"$file" >"$out" 2>&1; then
		bad "$name" "the patch no longer fits the code; make it anew"
		cat "$out"
		continue
	fi
	if ! (cd "$scratch" && go test -c -o /dev/null "$package") >"$out" 2>&1; then
		bad "$name" "the mutant does not compile"
		cat "$out"
	elif verify "$package" "$run"; then
		bad "$name" "SURVIVED: $run does not notice ($(header "$file" why))"
	else
		echo "$name: noticed by $run"
	fi
	(cd "$scratch" && git apply -p1 --recount -R) <"$file"
done

if [ "$failures" -gt 0 ]; then
	echo "mutate.sh: $failures of $ran mutants were not dealt with" >&2
	exit 1
fi
echo "mutate.sh: all $ran mutants were noticed"
