# `make` says what there is. Everything runs from a fresh clone on Debian or Ubuntu with Rust 1.90 or later, as root; packages are made on Debian 12.

CARGO ?= cargo
# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# rustup's cargo is not in everybody's PATH, and neither is /usr/sbin.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help tools build test quick demo bench soak fuzz package router-test router-kernel lint clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

tools: ## Install what the tests, the demo, the bench and the soak need
	@tests/install-tools.sh

build: ## The daemon, for this machine
	$(CARGO) build --release --bin lanward

test: tools ## Everything that can be checked here: lint and every test
	@tests/run-all.sh

quick: ## The fast tests only: no root, no network namespaces
	$(CARGO) test --quiet --lib --test architecture --test config --test contract --test fuzz --test golden --test profiles

demo: ## A house out of network namespaces, with the switch, the gate and a relay at work in it
	@tests/install-tools.sh --no-browser
	@$(CARGO) build --bin lanward -p lanward -p lanward-rig --bin demo
	@$(TARGET)/debug/demo

bench: ## How fast, how much memory, how many packets; `make bench ARGS=--json` for programs
	@tests/install-tools.sh --no-browser
	@$(CARGO) build --release --bin lanward -p lanward -p lanward-rig --bin bench
	@$(TARGET)/release/bench $(ARGS)

soak: ## Hours of mixed load, faults and changed configuration; `make soak ARGS='--minutes 2 --seed 7'`
	@tests/install-tools.sh --no-browser
	@$(CARGO) build --bin lanward -p lanward -p lanward-rig --bin lanward-broker --bin lanward-ubus --bin soak
	@$(TARGET)/debug/soak $(ARGS)

fuzz: ## Search with every fuzz target, hours long; `make fuzz ARGS='1000000 spa'` for less
	@fuzz/run.sh $(ARGS)

package: ## The packages for routers, in dist/; `make package ARCH=mips_24kc` for one kind only
	@package/install-tools.sh
	@package/build.sh $(ARCH)

router-test: ## Emulated routers of five kinds run the tests; `make router-test ARCH=mipsel` for some
	@package/install-tools.sh
	@tests/router/test.sh $(ARCH)

router-kernel: ## The kernel of the big-endian one, once (eight minutes)
	@package/install-tools.sh
	@tests/router/kernel.sh

lint: ## Format, clippy and shellcheck
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	scripts=$$(git ls-files '*.sh' '*-pkg' '.ci/run' 'files/etc/init.d' 'files/etc/uci-defaults' 'docs/fleet/99-lanward' 'tests/init/root') && \
		: "$${scripts:?git knows no scripts}" && echo "$$scripts" | xargs -d '\n' shellcheck

clean: ## Remove what was built
	$(CARGO) clean
