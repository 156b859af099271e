# SPDX-License-Identifier: Apache-2.0
# Tolltap's one Makefile: quiet by default, V=1 shows commands. Output goes to $(BUILD).
# Sources are found by folder: a new .c file under agent/, pricing/ or exporter/ is built, a new
# tests/unit/**/test_*.c is a unit test, with no change here.

BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
VERSION := $(shell cat VERSION)
SAN     ?=
# What is built for. Another machine than this one needs its libraries: SYSROOT (see make arm64).
ARCH    ?= $(shell uname -m)
SYSROOT ?=
PKG_CONFIG := $(if $(SYSROOT),PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(ARCH)-linux-gnu/pkgconfig:$(SYSROOT)/usr/share/pkgconfig) pkg-config

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

.DELETE_ON_ERROR:
.SECONDARY: # keep skeletons and BPF objects, which make would take for intermediate files
.DEFAULT_GOAL := all

PACKAGES := libbpf libelf zlib libcjson libcurl sqlite3 libmicrohttpd yaml-0.1 libbrotlidec libzstd libpcre2-8 \
            libnghttp2 capstone nettle libcap libseccomp
WARN  := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wimplicit-fallthrough
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined) \
            -fstack-protector-strong -D_GNU_SOURCE -DTOLLTAP_VERSION='"$(VERSION)"' -I. -I$(BUILD) \
            $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
# libcurl is loaded by the courier alone (agent/courier/libcurl.h): its headers are all we build with.
LIBS = $(shell $(PKG_CONFIG) --libs $(filter-out libcurl,$(PACKAGES))) -lm -lpthread

BPF_SRC  := $(wildcard bpf/*.bpf.c)
SKEL     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.skel.h)
SRC      := $(wildcard agent/*.c agent/*/*.c pricing/*.c exporter/*.c exporter/*/*.c)
OBJ      := $(SRC:%.c=$(BUILD)/%.o)
LIB_OBJ  := $(filter-out $(BUILD)/agent/main.o,$(OBJ))
UNIT_SRC := $(shell find tests/unit -name 'test_*.c' 2>/dev/null)
UNIT     := $(UNIT_SRC:%.c=$(BUILD)/%)
REPLAY   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/replay/test_*.c tests/faults/test_*.c))

# tests/faults/faults.h: AddressSanitizer keeps its allocator, so the linker puts ours before it.
FAULT_LINK = $(if $(findstring address,$(SAN)),$(addprefix -Wl$(comma)--wrap=,malloc calloc realloc))
comma := ,

BPF_ARCH := $(subst x86_64,x86,$(subst aarch64,arm64,$(ARCH)))

include packaging/packaging.mk

.PHONY: all tests unit check check-all cycles-long attacks-long kills-long soak lint check-kernels check-fuzz fuzz fuzz-long \
        fuzz-replays fuzz-targets bench bench-ledger clean help
all: $(BUILD)/tolltap ## build the binary
	@:

$(BUILD)/bpf/%.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) -I. -I$(BUILD) \
	  -idirafter $(SYSROOT)/usr/include/$(ARCH)-linux-gnu -Wall -Wextra -Wno-unused-parameter -c $< -o $@
	$(Q)llvm-strip -g $@

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst .,_,$*)_bpf > $@

$(BUILD)/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtolltap.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/tolltap: $(BUILD)/agent/main.o $(BUILD)/libtolltap.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS) -lcmocka \
	  $(if $(findstring faults,$@),$(FAULT_LINK))

$(BUILD)/tests/faults/%: tests/faults/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS) -lcmocka -lbrotlienc $(FAULT_LINK)

$(BUILD)/tests/replay/%: tests/replay/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS) -lcmocka -lbrotlienc -lm

KERNEL_C := $(addprefix $(BUILD)/tests/kernel/,trace requests cycles)
KERNEL   := $(KERNEL_C) $(BUILD)/tests/kernel/libnested.so
LOAD     := $(patsubst %.c,$(BUILD)/%,$(filter-out %/pair.c,$(wildcard tests/load/*.c)))

$(KERNEL_C): $(BUILD)/tests/kernel/%: tests/kernel/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS)

$(BUILD)/tests/kernel/libnested.so: tests/kernel/nested.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -fno-optimize-sibling-calls -fno-inline -o $@ $<

$(BUILD)/tests/load/%: tests/load/%.c tests/load/pair.c tests/load/pair.h
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(filter-out -fsanitize=%,$(ALL_CFLAGS)) -o $@ $< tests/load/pair.c -lssl -lcrypto -lz

unit: $(UNIT) ## unit tests only (cmocka); T=name runs those whose path contains it
	$(Q)for t in $(UNIT); do case $$t in *$(T)*) echo "== $$t"; $$t || exit 1;; esac; done

# ---- tests ------------------------------------------------------------------------------------

STAGES ?=
JOBS   ?= $(shell nproc)

check: deps ## every test of this machine; STAGES="unit e2e" runs only those
	$(Q)$(MAKE) -s -j$(JOBS) all tests
	$(Q)$(MAKE) -s -j$(JOBS) BUILD=$(BUILD)-asan SAN=address,undefined CFLAGS='-O1 -g' tests fuzz-replays
	$(Q)$(if $(CAN_FUZZ),$(FUZZ_MAKE) -j$(JOBS) fuzz-targets)
	$(Q)$(MAKE) -s -j$(JOBS) arm64
	$(Q)packaging/as-root.sh env KERNELS='$(KERNELS)' tests/run.py --build $(BUILD) --asan-build $(BUILD)-asan $(STAGES)

# What takes too long for every run of check. One long run a line.
check-all: ## check on every kernel, and the long runs
	$(Q)$(MAKE) -s check KERNELS='$(KERNELS_ALL)'
	$(Q)$(MAKE) -s cycles-long
	$(Q)$(MAKE) -s attacks-long
	$(Q)$(MAKE) -s kills-long
	$(Q)$(MAKE) -s soak

cycles-long: tests ## attach and detach 10,000 times (docs/limits.md)
	$(Q)packaging/as-root.sh tests/kernel/test_cycles.py $(BUILD) --count=10000 --figures

attacks-long: all tests ## the resource attacks at their full size (docs/limits.md)
	$(Q)packaging/as-root.sh env TOLLTAP_ATTACKS=long tests/e2e/test_attacks.py $(BUILD)

kills-long: all tests ## kill -9 at 200 random moments under load (docs/ledger.md)
	$(Q)packaging/as-root.sh env TOLLTAP_KILL_ROUNDS=200 tests/e2e/test_kill_rounds.py $(BUILD)

SOAK_S ?= 1800

soak: all tests ## SOAK_S=1800 seconds of mixed traffic at full speed (docs/performance.md)
	$(Q)packaging/as-root.sh tests/load/soak.py $(BUILD) $(SOAK_S)

tests: $(BUILD)/tolltap $(UNIT) $(REPLAY) $(KERNEL) $(LOAD) ## build the test programs

lint: ## the house rules and the format
	$(Q)tests/check/lint.py --self-test
	$(Q)tests/check/lint.py
	$(Q)clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

include tests/kernel/kernels.mk

# ---- fuzzing ----------------------------------------------------------------------------------

FUZZ      := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_S    ?= 30
FUZZ_CPU_MINUTES ?= 30
FUZZ_ONLY  = $(if $(T),$(filter $(T),$(FUZZ)),$(FUZZ))
FUZZ_KNOWN = $(if $(FUZZ_ONLY),,$(error T is one of: $(FUZZ)))
FUZZ_RUN   = tests/fuzz/run.py --bin $(BUILD)-fuzz/tests/fuzz --work $(BUILD)-fuzz/fuzz
FUZZ_MAKE  = $(MAKE) -s BUILD=$(BUILD)-fuzz CC=$(CLANG) SAN=fuzzer-no-link,address,undefined CFLAGS='-O1 -g'

# Whether check has to build the targets: libFuzzer comes with clang only.
CAN_FUZZ   = $(if $(or $(filter fuzz,$(STAGES)),$(if $(STAGES),,all)),$(shell \
  echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return !d && n; }' | \
  $(CLANG) -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null && echo yes))

# The oracle of http1, where Debian's node-llhttp is installed: sources of strangers, so no warnings.
LLHTTP := $(wildcard /usr/share/llhttp/*.c)
LLHTTP_A = $(BUILD)/tests/fuzz/libllhttp.a

ifneq ($(LLHTTP),)
$(BUILD)/tests/fuzz/replay_http1 $(BUILD)/tests/fuzz/fuzz_http1: $(LLHTTP_A)
$(BUILD)/tests/fuzz/replay_http1 $(BUILD)/tests/fuzz/fuzz_http1: FUZZ_WITH = -DHAVE_LLHTTP -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp $(LLHTTP_A)
endif

$(LLHTTP_A): $(LLHTTP)
	@mkdir -p $(@D)/llhttp
	$(Q)cd $(@D)/llhttp && $(CC) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -w -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -c $(LLHTTP) && \
	  rm -f ../$(@F) && ar rcs ../$(@F) *.o

$(BUILD)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c tests/fuzz/fuzz.h $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< tests/fuzz/replay.c $(FUZZ_WITH) $(BUILD)/libtolltap.a $(LIBS)

$(BUILD)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $< $(FUZZ_WITH) $(BUILD)/libtolltap.a $(LIBS)

fuzz-replays: $(FUZZ:%=$(BUILD)/tests/fuzz/replay_%)
fuzz-targets: $(FUZZ_ONLY:%=$(BUILD)/tests/fuzz/fuzz_%)

check-fuzz: fuzz-replays ## replay the corpus of every fuzz target
	$(Q)for t in $(FUZZ); do $(BUILD)/tests/fuzz/replay_$$t tests/fuzz/corpus/$$t || exit 1; done

fuzz: ## fuzz each target, or T=name, for FUZZ_S=30 seconds (clang)
	$(FUZZ_KNOWN)
	$(Q)$(FUZZ_MAKE) -j$(JOBS) fuzz-targets
	$(Q)$(FUZZ_RUN) --seconds $(FUZZ_S) $(FUZZ_ONLY)

fuzz-long: ## fuzz each target, or T=name, for FUZZ_CPU_MINUTES=30; goes on where it was ended
	$(FUZZ_KNOWN)
	$(Q)$(FUZZ_MAKE) -j$(JOBS) fuzz-targets
	$(Q)$(FUZZ_RUN) --cpu-minutes $(FUZZ_CPU_MINUTES) $(FUZZ_ONLY)

# ---- bench ------------------------------------------------------------------------------------

BENCH := $(addprefix $(BUILD)/tests/bench/,tls_loop socket_loop anchor anchor.bpf.o ledger_writer ledger_retention)
BENCH_ROWS ?= 10000000
LEDGER_BENCH = /usr/bin/python3 tests/bench/ledger.py $(BUILD) --rows $(BENCH_ROWS)

bench: $(BUILD)/tolltap $(BENCH) ## what the probes cost, side by side, as ratios; a ledger of BENCH_ROWS=10000000
	$(Q)packaging/as-root.sh /usr/bin/python3 tests/bench/bench.py $(BUILD) $(BENCH_FLAGS)
	$(Q)packaging/as-root.sh /usr/bin/python3 tests/bench/sockets.py $(BUILD)
	$(Q)$(LEDGER_BENCH)

bench-ledger: $(BUILD)/tolltap $(BENCH) ## that of the ledger alone: needs no root, 10 GB and half an hour
	$(Q)$(LEDGER_BENCH)

$(BUILD)/tests/bench/socket_loop: tests/bench/socket_loop.c
	@mkdir -p $(@D)
	$(call say,BENCH,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $<

$(BUILD)/tests/bench/tls_loop: tests/bench/tls_loop.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< -lssl -lcrypto

$(addprefix $(BUILD)/tests/bench/,anchor ledger_writer ledger_retention): $(BUILD)/tests/bench/%: tests/bench/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(BUILD)/libtolltap.a $(LIBS)

$(BUILD)/tests/bench/anchor.bpf.o: tests/bench/anchor.bpf.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) \
	  -idirafter $(SYSROOT)/usr/include/$(ARCH)-linux-gnu -c $< -o $@

# ---- housekeeping -----------------------------------------------------------------------------

clean: ## remove the build directories
	$(Q)rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz $(ARM64)

help: ## list targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

-include $(OBJ:.o=.d) $(UNIT:=.d) $(REPLAY:=.d)
