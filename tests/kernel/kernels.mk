# SPDX-License-Identifier: Apache-2.0
# Other kernels and another machine, in an emulator. Included by the Makefile.

KERNELS_ALL := 5.10 6.1 6.12 sid arm64
# What check boots: the oldest, the newest, the other machine.
KERNELS ?= 5.10 sid arm64

ARM64 := $(BUILD)-arm64
ARM64_SYSROOT := $(abspath $(ARM64))/sysroot
# What a guest runs beside the program and its libraries, which packaging/deps.sh lists.
ARM64_GUEST := python3-minimal libpython3-stdlib openssl curl busybox-static util-linux

.PHONY: arm64

check-kernels: KERNELS := $(if $(filter file,$(origin KERNELS)),$(KERNELS_ALL),$(KERNELS))
check-kernels: ## meter calls under all of KERNELS="5.10 6.1 6.12 sid arm64", in an emulator
	$(Q)packaging/deps.sh build demo kernels $(filter arm64,$(KERNELS))
	$(Q)$(MAKE) -s -j$(JOBS) all $(if $(filter arm64,$(KERNELS)),arm64)
	$(Q)tests/kernel/vm.py --build $(BUILD) --arm64-build $(ARM64) $(KERNELS)

arm64: ## cross-compile the program for arm64, with Debian's libraries
	$(Q)packaging/deps.sh arm64
	$(Q)tests/kernel/debian.sh extract bookworm arm64 $(ARM64_SYSROOT) \
	  $$(packaging/deps.sh --libraries build) $(ARM64_GUEST)
	$(Q)$(MAKE) -s BUILD=$(ARM64) ARCH=aarch64 SYSROOT=$(ARM64_SYSROOT) \
	  CC='aarch64-linux-gnu-gcc --sysroot=$(ARM64_SYSROOT)' all
