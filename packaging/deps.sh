#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Debian packages this tree needs, what each is for, and their installation.
#
#   deps.sh SET...            installs what is missing of these sets (build, demo, check, kernels, arm64) with apt
#   deps.sh --missing SET...  prints the missing packages on one line, installs nothing
#   deps.sh --libraries SET...  prints the packages that programs include or link, not the tools
#
# Quiet when nothing is missing. A row is: set, need (must or may), package, test, reason. A test is
# cmd:NAME (a program), pc:NAME (pkg-config), file:PATH or py:NAME (a module of /usr/bin/python3), so
# that a program from elsewhere counts too.
set -u

table='
build must gcc cmd:gcc compiles the agent
build must libc6-dev file:/usr/include/stdio.h headers of libc
build must linux-libc-dev file:/usr/include/linux/bpf.h headers of the kernel
build must pkgconf cmd:pkg-config finds libraries
build must clang cmd:clang compiles the BPF programs
build must llvm cmd:llvm-strip strips BPF objects
build must bpftool cmd:bpftool makes BPF skeletons
build must libbpf-dev pc:libbpf loads BPF programs
build must libelf-dev pc:libelf reads ELF files
build must zlib1g-dev pc:zlib gzip and deflate
build must libcjson-dev pc:libcjson JSON documents
build must libcurl4-openssl-dev pc:libcurl outbound HTTP
build must libsqlite3-dev pc:sqlite3 the ledger
build must libmicrohttpd-dev pc:libmicrohttpd the metrics endpoint
build must libyaml-dev pc:yaml-0.1 the configuration file
build must libbrotli-dev pc:libbrotlidec br encoding
build must libpcre2-dev pc:libpcre2-8 splits text into tokens
build must libzstd-dev pc:libzstd zstd encoding
build must libnghttp2-dev pc:libnghttp2 HTTP/2 header compression
build must libcapstone-dev pc:capstone finds return instructions
build must nettle-dev pc:nettle hashes
build must libcap-dev pc:libcap drops capabilities
build must libseccomp-dev pc:libseccomp system call filters
build must tzdata file:/usr/share/zoneinfo/Europe/Berlin time zones of reports
build must uthash-dev file:/usr/include/uthash.h hash tables
demo must python3 cmd:python3 the local provider
demo must openssl cmd:openssl its certificate
demo may curl cmd:curl a client
demo may nodejs cmd:node a client
demo may python3-httpx py:httpx a client
demo may python3-requests py:requests a client
demo may python3-aiohttp py:aiohttp a client
check must libcmocka-dev pc:cmocka unit tests
check must libssl-dev pc:libssl test programs that speak TLS
check may libclang-rt-14-dev file:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux libFuzzer and its sanitizers
check may node-llhttp file:/usr/share/llhttp/llhttp.c the oracle of the HTTP/1 fuzz target
check must clang-format cmd:clang-format the style check
check must locales file:/usr/share/i18n/locales/de_DE a locale with a decimal comma
check must python3-jsonschema py:jsonschema validates the price table
check may mmdebstrap cmd:mmdebstrap a system to install into
check may systemd-container cmd:systemd-nspawn boots it
check may ruby cmd:ruby a client of the host tests
check may libio-socket-ssl-perl file:/usr/share/perl5/IO/Socket/SSL.pm a client of the host tests
check may php-cli cmd:php a client of the host tests
check may php-curl file:/etc/php/8.2/mods-available/curl.ini a client of the host tests
check may wget cmd:wget a client that cannot be read
check may npm cmd:npm installs the SDKs that are metered
arm64 must gcc-aarch64-linux-gnu cmd:aarch64-linux-gnu-gcc compiles for arm64
kernels must qemu-system-x86 cmd:qemu-system-x86_64 runs other kernels
kernels must busybox-static cmd:busybox their user land
kernels must cpio cmd:cpio packs it
kernels may qemu-system-arm cmd:qemu-system-aarch64 runs arm64
check may python3-brotli py:brotli a provider that answers in br
check may python3-h2 py:h2 HTTP/2 for httpx
'

usage() {
	echo "usage: deps.sh [--missing|--libraries] build|demo|check|kernels|arm64 ..." >&2
	exit 2
}

have() { # TEST
	case $1 in
	cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 || [ -x "/usr/sbin/${1#cmd:}" ] ;;
	pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
	file:*) [ -e "${1#file:}" ] ;;
	py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
	esac
}

# Prints "need package reason" of each missing row of the sets.
missing() {
	echo "$table" | while read -r set need package test reason; do
		for wanted in "$@"; do
			[ "$set" = "$wanted" ] && ! have "$test" && echo "$need $package $reason"
		done
	done
}

libraries() {
	echo "$table" | while read -r set _ package test _; do
		for wanted in "$@"; do
			case $set:$test in "$wanted":pc:* | "$wanted":file:*) echo "$package" ;; esac
		done
	done
}

names() { # of missing rows on stdin, one line
	cut -d' ' -f2 | tr '\n' ' ' | sed 's/ $//'
}

only_names= only_libraries=
[ "${1-}" = --missing ] && only_names=1 && shift
[ "${1-}" = --libraries ] && only_libraries=1 && shift
[ $# -gt 0 ] || usage
for set in "$@"; do
	case $set in build | demo | check | kernels | arm64) ;; *) usage ;; esac
done
if [ -n "$only_libraries" ]; then
	libraries "$@"
	exit 0
fi

rows=$(missing "$@")
[ -n "$rows" ] || exit 0
packages=$(echo "$rows" | names)
if [ -n "$only_names" ]; then
	echo "$packages"
	exit 0
fi

echo "missing Debian packages:"
echo "$rows" | while read -r need package reason; do
	printf '  %-22s %s%s\n' "$package" "$reason" "$([ "$need" = may ] && echo ' (optional)')"
done
sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo="sudo"
	if ! command -v sudo >/dev/null 2>&1; then
		echo "not root and no sudo; as root: apt-get install $packages" >&2
		[ -z "$(echo "$rows" | grep '^must ')" ] && exit 0
		exit 4
	fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "no apt-get here; install the like of these with your package manager: $packages" >&2
	exit 1
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
install_all() { # PACKAGES...
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		"$@" >>"$log" 2>&1
}
echo "installing them with ${sudo:+sudo }apt-get ..."
# shellcheck disable=SC2086 # a list of words
if ! install_all $packages; then
	$sudo apt-get update -q >>"$log" 2>&1
	install_all $packages || for package in $packages; do install_all "$package"; done
fi

left=$(missing "$@" | grep '^must ' | names)
[ -z "$left" ] && exit 0
tail -15 "$log" >&2
echo "apt could not install: $left" >&2
exit 1
