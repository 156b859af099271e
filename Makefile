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

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

.DELETE_ON_ERROR:
.SECONDARY: # keep skeletons and BPF objects, which make would take for intermediate files
.DEFAULT_GOAL := all

PACKAGES := libbpf libelf zlib libcjson libcurl sqlite3 libmicrohttpd yaml-0.1 libbrotlidec libzstd \
            capstone nettle
WARN  := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wimplicit-fallthrough
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined) \
            -fstack-protector-strong -D_GNU_SOURCE -DTOLLTAP_VERSION='"$(VERSION)"' -I. -I$(BUILD) \
            $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lm -lpthread

BPF_SRC  := $(wildcard bpf/*.bpf.c)
SKEL     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.skel.h)
SRC      := $(wildcard agent/*.c agent/*/*.c pricing/*.c exporter/*.c)
OBJ      := $(SRC:%.c=$(BUILD)/%.o)
LIB_OBJ  := $(filter-out $(BUILD)/agent/main.o,$(OBJ))
UNIT_SRC := $(shell find tests/unit -name 'test_*.c' 2>/dev/null)
UNIT     := $(UNIT_SRC:%.c=$(BUILD)/%)
REPLAY   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/replay/test_*.c))

BPF_ARCH := $(subst x86_64,x86,$(subst aarch64,arm64,$(shell uname -m)))

include packaging/packaging.mk

.PHONY: all tests unit check lint check-kernels check-fuzz fuzz bench clean help
all: $(BUILD)/tolltap ## build the binary
	@:

$(BUILD)/bpf/%.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) -I. -I$(BUILD) \
	  -idirafter /usr/include/$(shell uname -m)-linux-gnu -Wall -Wextra -Wno-unused-parameter -c $< -o $@
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
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS) -lcmocka

$(BUILD)/tests/replay/%: tests/replay/%.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS) -lcmocka -lbrotlienc

KERNEL := $(BUILD)/tests/kernel/trace $(BUILD)/tests/kernel/libnested.so

$(BUILD)/tests/kernel/trace: tests/kernel/trace.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(BUILD)/libtolltap.a $(LIBS)

$(BUILD)/tests/kernel/libnested.so: tests/kernel/nested.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -fno-optimize-sibling-calls -fno-inline -o $@ $<

unit: $(UNIT) ## unit tests only (cmocka); T=name runs those whose path contains it
	$(Q)for t in $(UNIT); do case $$t in *$(T)*) echo "== $$t"; $$t || exit 1;; esac; done

# ---- tests ------------------------------------------------------------------------------------

STAGES ?=
JOBS   ?= $(shell nproc)

check: deps ## every test of this machine; STAGES="unit e2e" runs only those
	$(Q)$(MAKE) -s -j$(JOBS) all tests
	$(Q)$(MAKE) -s -j$(JOBS) BUILD=$(BUILD)-asan SAN=address,undefined CFLAGS='-O1 -g' tests
	$(Q)packaging/as-root.sh tests/run.py --build $(BUILD) --asan-build $(BUILD)-asan $(STAGES)

tests: $(BUILD)/tolltap $(UNIT) $(REPLAY) $(KERNEL) ## build the test programs

lint: ## the house rules and the format
	$(Q)tests/check/lint.py --self-test
	$(Q)tests/check/lint.py
	$(Q)clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

check-kernels: $(BUILD)/tolltap $(KERNEL) ## load and meter one call on Linux 5.10, in an emulator
	$(Q)packaging/as-root.sh tests/kernel/vm.sh check $(BUILD) 5.10

# ---- fuzzing ----------------------------------------------------------------------------------

FUZZ    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS ?= 30

$(BUILD)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c tests/fuzz/fuzz.h $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< tests/fuzz/replay.c $(BUILD)/libtolltap.a $(LIBS)

check-fuzz: $(FUZZ:%=$(BUILD)/tests/fuzz/replay_%) ## replay the corpus of every fuzz target
	$(Q)for t in $(FUZZ); do $(BUILD)/tests/fuzz/replay_$$t tests/fuzz/corpus/$$t || exit 1; done

# Finds go to $(BUILD)-fuzz/corpus/T; what is worth keeping is copied to tests/fuzz/corpus/T by hand.
fuzz: ## fuzz one target: T=http1 SECONDS=30 (clang)
	$(if $(filter $(T),$(FUZZ)),,$(error T is one of: $(FUZZ)))
	$(Q)$(MAKE) -s BUILD=$(BUILD)-fuzz CC=$(CLANG) SAN=fuzzer-no-link,address,undefined CFLAGS='-O1 -g' $(BUILD)-fuzz/tests/fuzz/fuzz_$(T)
	@mkdir -p $(BUILD)-fuzz/corpus/$(T)
	$(Q)$(BUILD)-fuzz/tests/fuzz/fuzz_$(T) -max_total_time=$(SECONDS) -max_len=4096 -timeout=5 -print_final_stats=1 \
	  $(if $(wildcard tests/fuzz/$(T).dict),-dict=tests/fuzz/$(T).dict) -artifact_prefix=$(BUILD)-fuzz/ \
	  $(BUILD)-fuzz/corpus/$(T) tests/fuzz/corpus/$(T)

$(BUILD)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $< $(BUILD)/libtolltap.a $(LIBS)

# ---- bench ------------------------------------------------------------------------------------

BENCH := $(addprefix $(BUILD)/tests/bench/,tls_loop anchor anchor.bpf.o)

bench: $(BUILD)/tolltap $(BENCH) ## what the probes cost, side by side, as ratios
	$(Q)packaging/as-root.sh /usr/bin/python3 tests/bench/bench.py $(BUILD) $(BENCH_FLAGS)

$(BUILD)/tests/bench/tls_loop: tests/bench/tls_loop.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< -lssl -lcrypto

$(BUILD)/tests/bench/anchor: tests/bench/anchor.c $(BUILD)/libtolltap.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(BUILD)/libtolltap.a $(LIBS)

$(BUILD)/tests/bench/anchor.bpf.o: tests/bench/anchor.bpf.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) \
	  -idirafter /usr/include/$(shell uname -m)-linux-gnu -c $< -o $@

# ---- housekeeping -----------------------------------------------------------------------------

clean: ## remove the build directories
	$(Q)rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

help: ## list targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

-include $(OBJ:.o=.d) $(UNIT:=.d) $(REPLAY:=.d)
