#!/usr/bin/env bash
# Makes the packages: a .deb and a tar.gz for armhf (from the first Raspberry Pi on), arm64 and amd64, and SHA256SUMS. The
# same commit and the same Go make the same bytes.
#
#   scripts/package.sh          into ./dist
#   scripts/package.sh DIR
#
# Where there is no git, or for another name: VERSION=1.2.3 SOURCE_DATE_EPOCH=1700000000 scripts/package.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# Newer ones do not build: two of their dependencies do not resolve.
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0
dist=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)

# Without a tag the version is below every release, and grows with the commit's date.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct); fi
if [ -z "${VERSION:-}" ]; then
	if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null); then
		VERSION=${tag#v}
	else
		VERSION=0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).$(git rev-parse --short=12 HEAD)
	fi
	[ -z "$(git status --porcelain)" ] || VERSION+=+changes
fi
export SOURCE_DATE_EPOCH VERSION TZ=UTC LC_ALL=C
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # FILE, for the machine that GOARCH and GOARM name
	CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=v$VERSION" -o "$1" ./cmd/atbridge
}

# licences of all that is linked into the binary: each asks to go along.
licences() {
	local path dir file
	cat LICENSE
	go list -buildvcs=false -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/atbridge | sort -u |
		while read -r path version dir; do
			for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/NOTICE* "$dir"/COPYING* "$dir"/edl-*; do
				[ -f "$file" ] || continue
				printf '\n==== %s %s: %s\n\n' "$path" "$version" "${file##*/}"
				cat "$file"
			done
		done
}

# What is the same for every machine.
common=$work/common doc=$work/common/usr/share/doc/atbridge
mkdir -p "$common/etc/atbridge" "$doc" "$common"/usr/{lib/systemd/system,lib/udev/rules.d,share/man/man1} \
	"$common"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
build "$work/host"
"$work/host" man "$common/usr/share/man/man1"
gzip -9n "$common"/usr/share/man/man1/*
"$work/host" completion bash >"$common/usr/share/bash-completion/completions/atbridge"
"$work/host" completion zsh >"$common/usr/share/zsh/vendor-completions/_atbridge"
"$work/host" completion fish >"$common/usr/share/fish/vendor_completions.d/atbridge.fish"
cp scripts/atbridge.service scripts/atbridge@.service "$common/usr/lib/systemd/system/"
cp scripts/61-atbridge.rules "$common/usr/lib/udev/rules.d/"
cp scripts/atbridge.yaml "$common/etc/atbridge/"
cp README.md README.zh-CN.md SECURITY.md CHANGELOG.md "$doc/"
cp -r scripts/drop-ins cmd/atbridge/testdata/examples "$doc/"
gzip -9n "$doc/CHANGELOG.md"
licences >"$doc/copyright"

rm -f "$dist"/atbridge_* "$dist/SHA256SUMS"
for machine in armhf:arm:6 arm64:arm64: amd64:amd64:; do
	IFS=: read -r ARCH GOARCH GOARM <<<"$machine"
	export ARCH
	rm -rf "$work/tree"
	cp -a "$common" "$work/tree"
	mkdir "$work/tree/usr/bin"
	GOARCH=$GOARCH GOARM=$GOARM build "$work/tree/usr/bin/atbridge"
	chmod -R u=rwX,go=rX "$work/tree"
	find "$work/tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	cp -r scripts/nfpm.yaml scripts/debian "$work/"
	find "$work/debian" "$work/nfpm.yaml" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$work" && GOFLAGS= go run "$NFPM" package --config nfpm.yaml --packager deb --target "$dist/atbridge_${VERSION}_$ARCH.deb")
	tar -C "$work/tree" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -cf - . |
		gzip -9n >"$dist/atbridge_${VERSION}_linux_$ARCH.tar.gz"
done
(cd "$dist" && sha256sum atbridge_* >SHA256SUMS && cat SHA256SUMS)
