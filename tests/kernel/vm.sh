#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Loads the BPF programs and meters one call under another Linux kernel, in an emulator.
#
# usage: vm.sh check BUILD 5.10      prints `ok NAME` or `FAIL NAME: why`; root, Debian, x86-64
#
# The kernel is Debian's own package, kept under ${XDG_CACHE_HOME:-~/.cache}/tolltap. The guest is an
# initramfs of busybox, openssl and the test tool; openssl talks to itself and the tool prints what
# the probes saw.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "${1-}" = check ] && [ $# = 3 ] || { sed -n '5p' "$0"; exit 2; }
build=$2 version=$3
case $version in 5.10) suite=bullseye ;; 6.1) suite=bookworm ;; *) echo "vm.sh: 5.10 or 6.1" >&2; exit 2 ;; esac
name="kernel_$version"
[ "$(uname -m)" = x86_64 ] || { echo "skip $name: needs x86-64"; exit 0; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tolltap/linux-$version
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() { echo "FAIL $name: $*"; exit 1; }

need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null || apt-get install -y -qq --no-install-recommends "$2" >&2
}

# Downloads the suite's newest cloud kernel with an apt state of its own, and unpacks its image.
fetch_kernel() {
	local state=$cache/apt mirror package o
	[ ! -e "$cache/vmlinuz" ] || return 0
	mkdir -p "$state"/{lists/partial,cache/archives/partial,parts}
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/\{0,1\}$' | head -1)
	[ -n "$mirror" ] || mirror=http://deb.debian.org/debian
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/list"
	o=(-qq -o Dir::Etc::sourcelist="$state/list" -o Dir::Etc::sourceparts="$state/parts"
		-o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root)
	apt-get "${o[@]}" update
	package=$(apt-cache "${o[@]}" pkgnames linux-image- |
		grep -E '^linux-image-[0-9].*-cloud-amd64$' | sort -V | tail -1)
	(cd "$tmp" && apt-get "${o[@]}" download "$package" && dpkg -x "$package"_*.deb kernel)
	cp "$tmp"/kernel/boot/vmlinuz-* "$cache/vmlinuz"
}

root=$tmp/root
put() { # FILE [DEST]: a file and the shared libraries it needs
	local lib
	install -D "$(realpath "$1")" "$root/${2:-$1}"
	for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		[ -e "$root/$lib" ] || install -D "$(realpath "$lib")" "$root/$lib"
	done
}

make_guest() {
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,t}
	put "$(command -v busybox)" bin/busybox
	put "$build/tests/kernel/trace" t/trace
	put "$(command -v openssl)" t/openssl
	put /etc/ssl/openssl.cnf
	mkdir -p "$root/usr/lib"
	ln -sfn /etc/ssl "$root/usr/lib/ssl"
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 2 \
		-out "$root/t/cert.pem" -keyout "$root/t/key.pem" 2>/dev/null
	printf 'POST /v1/chat/completions HTTP/1.1\r\nHost: api.listed.test\r\nContent-Length: 2\r\n\r\n{}' >"$root/t/request"
	printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]' >"$root/t/answer"
	libssl=$(ldd "$(command -v openssl)" | sed -n 's/.*libssl[^ ]* => \([^ ]*\).*/\1/p')
	cat >"$root/init" <<-EOF
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/bin:/t
		mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
		ip link set lo up
		cd /t
		mkfifo in
		trace --provider=api.listed.test $libssl <in >out 2>&1 &
		exec 3>in
		for i in \$(seq 100); do grep -q ready out && break; sleep 1; done
		(sleep 5; cat answer; sleep 2) | openssl s_server -quiet -accept 4433 -cert cert.pem -key key.pem >/dev/null 2>&1 &
		sleep 2
		(cat request; sleep 5) | openssl s_client -quiet -connect 127.0.0.1:4433 >/dev/null 2>&1
		sleep 1
		echo stats >&3; echo quit >&3; sleep 1
		uname -r >/dev/ttyS0
		cat out >/dev/ttyS0
		echo guest-end >/dev/ttyS0
		poweroff -f
	EOF
	chmod +x "$root/init"
	(cd "$root" && find . -print0 | cpio --null -o -H newc --quiet) >"$tmp/initrd"
}

# cx16=off: qemu 7.2 emulates cmpxchg16b wrongly and newer kernels panic on it.
boot() {
	timeout 180 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -m 768 \
		-machine q35 -accel tcg -cpu max,la57=off,cx16=off -kernel "$cache/vmlinuz" \
		-initrd "$tmp/initrd" -append 'console=ttyS0 panic=-1 mitigations=off quiet rdinit=/init' \
		-serial "file:$tmp/serial" </dev/null
}

# The call's bytes, as the probes must have seen them.
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
saw() { # DIRECTION FILE
	grep -q "\"type\":\"data\".*\"dir\":\"$1\".*\"data\":\"$(hex "$root/t/$2")\"" "$tmp/serial" ||
		fail "the $2 was not seen ($(grep -av '^{' "$tmp/serial" | tail -3 | tr '\r\n' '  '))"
}

need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
fetch_kernel >&2 || { echo "skip $name: Debian's kernel package cannot be had"; exit 0; }
make_guest
boot || fail "the emulator did not end in time"
grep -q '"type":"ready"' "$tmp/serial" ||
	fail "the programs did not load: $(grep -a -v '^{' "$tmp/serial" | tail -3 | tr '\r\n' '  ')"
echo "ok ${name}_loads"
saw write request
saw read answer
echo "ok ${name}_meters_a_call"
