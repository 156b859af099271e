#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fetches packages of any Debian suite and architecture, with an apt state of its own: this system's
# sources, architectures and installed packages stay as they are.
#
#   debian.sh kernel SUITE ARCH DIR             the suite's newest cloud kernel, as DIR/vmlinuz
#   debian.sh extract SUITE ARCH DIR PACKAGE... packages and all they depend on, unpacked below DIR
#
# What is there already is kept; a kernel of sid, which changes from week to week, for a week. Downloads
# and lists live under ${XDG_CACHE_HOME:-~/.cache}/tolltap.
set -euo pipefail
usage() {
	sed -n '6,7s/^# *//p' "$0" >&2
	exit 2
}
[ $# -ge 4 ] || usage
what=$1 suite=$2 arch=$3 dir=$4
shift 4

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tolltap
state=$cache/apt/$suite-$arch
sid_days=7

apt_state() {
	local mirror
	mkdir -p "$state"/{lists/partial,cache/archives/partial,parts}
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep '/debian/\{0,1\}$' | head -1)
	echo "deb [arch=$arch signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"${mirror:-http://deb.debian.org/debian} $suite main" >"$state/list"
	: >"$state/status" # nothing counts as installed, so all that is needed is fetched
	options=(-qq -o Dir::Etc::sourcelist="$state/list" -o Dir::Etc::sourceparts="$state/parts"
		-o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status"
		-o Dir::Cache="$state/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
		-o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o Debug::NoLocking=1)
	apt-get "${options[@]}" update
}

depends() { # PACKAGE
	apt-cache "${options[@]}" depends --important "$1" | sed -n 's/^ *\(Pre\)\{0,1\}Depends: //p'
}

# From the meta package to the one with the image: newer ones are split, and the image is in
# linux-binary-*.
kernel_package() {
	local image binary
	image=$(depends "linux-image-cloud-$arch" | grep '^linux-image-' | head -1)
	binary=$(depends "$image" | grep '^linux-binary-' | head -1)
	echo "${binary:-$image}"
}

fetch_kernel() {
	local package
	[ -z "$(find "$dir/vmlinuz" $([ "$suite" = sid ] && echo "-mtime -$sid_days") 2>/dev/null)" ] ||
		return 0
	apt_state
	package=$(kernel_package)
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && apt-get "${options[@]}" download "$package" && dpkg -x ./*.deb .)
	mkdir -p "$dir"
	cp "$(find "$work" -name 'vmlinuz*' -type f | head -1)" "$dir/vmlinuz.new"
	mv "$dir/vmlinuz.new" "$dir/vmlinuz"
}

extract() {
	local deb
	[ "$(cat "$dir/.packages" 2>/dev/null)" != "$suite $arch $*" ] || return 0
	apt_state
	rm -f "$state"/cache/archives/*.deb
	apt-get "${options[@]}" install --download-only -y --no-install-recommends "$@"
	rm -rf "$dir"
	mkdir -p "$dir"
	for deb in "$state"/cache/archives/*.deb; do dpkg -x "$deb" "$dir"; done
	echo "$suite $arch $*" >"$dir/.packages"
}

case $what in
kernel) fetch_kernel ;;
extract) extract "$@" ;;
*) usage ;;
esac
