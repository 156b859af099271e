# SPDX-License-Identifier: Apache-2.0
# Dependencies, demo, run and installation. Included by the Makefile.

DESTDIR    ?=
BINDIR     := $(PREFIX)/bin
SHARE      := $(PREFIX)/share/tolltap
UNITDIR    := $(PREFIX)/lib/systemd/system
SYSUSERS   := $(PREFIX)/lib/sysusers.d
DEMO_FILES := $(filter-out %/write_recording.py,$(wildcard packaging/demo/*.py)) \
              $(wildcard packaging/demo/*.mjs packaging/demo/*.ttr packaging/demo/*.jsonl)

ALL_CFLAGS += -DTOLLTAP_SHARE_DIR='"$(SHARE)"'

# Goals that install what they need themselves, or need nothing.
SELF_SUFFICIENT := deps demo demo-deps check check-all run help clean uninstall lint bench check-kernels
ifneq ($(filter-out $(SELF_SUFFICIENT),$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell packaging/deps.sh --missing build)
ifneq ($(MISSING),)
$(error missing Debian packages: $(MISSING). `make deps` installs them)
endif
endif

.PHONY: deps demo-deps demo run install uninstall

deps: ## install what building, demo and check need, with apt
	$(Q)packaging/deps.sh build demo check kernels arm64

demo-deps:
	$(Q)packaging/deps.sh build demo

demo: demo-deps ## meter local clients against a local provider and compare with its books
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(BUILD)/tolltap demo

run: ## meter this host's own traffic, with the live view
	$(Q)packaging/deps.sh build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)packaging/run.sh $(abspath $(BUILD))/tolltap $(STORAGE)

install: all ## install binary, catalogue, demo and systemd unit (PREFIX, DESTDIR)
	$(Q)install -D -m 755 $(BUILD)/tolltap $(DESTDIR)$(BINDIR)/tolltap
	$(Q)install -D -m 644 pricing/catalog.json $(DESTDIR)$(SHARE)/catalog.json
	$(Q)install -m 644 agent/tokens/o200k_base.ranks agent/tokens/cl100k_base.ranks $(DESTDIR)$(SHARE)
	$(Q)install -d $(DESTDIR)$(SHARE)/demo
	$(Q)install -m 644 $(DEMO_FILES) $(DESTDIR)$(SHARE)/demo
	$(Q)install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERS)
	$(Q)sed 's|@BINDIR@|$(BINDIR)|' packaging/tolltap.service.in > $(DESTDIR)$(UNITDIR)/tolltap.service
	$(Q)install -m 644 packaging/tolltap.sysusers $(DESTDIR)$(SYSUSERS)/tolltap.conf
	$(Q)chmod 644 $(DESTDIR)$(UNITDIR)/tolltap.service
	$(Q)[ -n "$(DESTDIR)" ] || packaging/after-install.sh $(SYSUSERS)/tolltap.conf
	@echo "installed below $(DESTDIR)$(PREFIX); start it: systemctl enable --now tolltap"

uninstall: ## remove what install put there; the ledger stays
	$(Q)rm -f $(DESTDIR)$(BINDIR)/tolltap $(DESTDIR)$(UNITDIR)/tolltap.service \
	  $(DESTDIR)$(SYSUSERS)/tolltap.conf
	$(Q)rm -rf $(DESTDIR)$(SHARE)
	@echo "removed; the ledger in /var/lib/tolltap and the users tolltap, tolltap-broker and tolltap-courier stay"
