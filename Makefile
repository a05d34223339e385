# Inlet: the commands that a developer types, and that CI types too.
#
#   make demo         both binaries, a stream, a publisher, and the URLs to look at
#   make demo-fleet   three points of presence that are name servers, to be steered
#   make test         everything that must pass
#   make help         all of them
#
# CARGO_TARGET_DIR is respected; packages that are missing are installed by
# name where this runs as root, and named where it does not.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

export CARGO_TARGET_DIR ?= $(CURDIR)/target
# Absolute, since recipes change directory.
BUILD := $(abspath $(CARGO_TARGET_DIR))
override CARGO_TARGET_DIR := $(BUILD)

# The demonstration's media: empty is the test picture, `none` is nobody, else a
# media file.
SOURCE ?=
# More arguments of the demonstration, such as `--origin-port 8000`.
ARGS ?=
# The benchmark that `make bench` runs; empty is all of them.
BENCH ?=
# What `make soak` takes for one turn with a stream, and before that with TURN.
MINUTES ?= 60
TURN_MINUTES ?= 10
# What `make fuzz` takes for each target.
SECONDS ?= 10

PACKAGES_BUILD := clang libclang-dev pkg-config libssl-dev \
    libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libswresample-dev
PACKAGES_TEST := ffmpeg chromium firefox-esr coturn pebble iproute2 nftables \
    bind9-dnsutils knot-dnsutils gdnsd \
    nginx libnginx-mod-http-js \
    python3-gi gir1.2-gst-plugins-bad-1.0 gir1.2-nice-0.1 gstreamer1.0-nice \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
PACKAGES_CLIENTS := python3-venv
# dig, by which one sees who is sent where.
PACKAGES_FLEET := bind9-dnsutils
# nasm: without it OpenH264 would be measured without its assembler.
PACKAGES_BENCH := coturn dnsperf iproute2 nasm nginx util-linux

NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
DENY := $(shell cargo deny --version >/dev/null 2>&1 && echo yes)

STARTED := $(shell date +%s)
define step
@printf '\n\033[1m== %s\033[0m  (after %d s)\n' '$(1)' $$(($$(date +%s) - $(STARTED)))
endef
NODE = PATH="$$(.ci/node $(BUILD)):$$PATH"

WEB := origin/web
WEB_SOURCES := $(shell find $(WEB) \( -name node_modules -o -name dist \) -prune -o -type f -print)
WEB_BUNDLE := $(WEB)/dist/go-live.html
BROWSER := tests/browser
FUZZ := tests/fuzz

.PHONY: help
help: ## List these commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	    | sed -E 's/^([a-z-]+):.*## /\1\t/' \
	    | while IFS=$$'\t' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

# --- What has to be there --------------------------------------------------

.PHONY: packages packages-test packages-bench
packages: ## Install the system packages that a build needs.
	@command -v cargo >/dev/null || { \
	    echo 'make: cargo is missing; install Rust from https://rustup.rs' >&2; exit 1; }
	@.ci/packages $(PACKAGES_BUILD)

packages-test: packages
	@.ci/packages $(PACKAGES_TEST)

packages-bench: packages-test
	@.ci/packages $(PACKAGES_BENCH)

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	$(call step,Packages of the pages)
	cd $(WEB) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) npm ci --no-audit --no-fund
	@touch $@

$(WEB_BUNDLE): $(WEB_SOURCES) $(WEB)/node_modules/.package-lock.json
	$(call step,Bundle of the pages)
	cd $(WEB) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) npm run build
	@touch $@

$(BROWSER)/node_modules/.package-lock.json: $(BROWSER)/package-lock.json
	$(call step,Packages of the browser tests)
	cd $(BROWSER) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) npm ci --no-audit --no-fund
	@touch $@

.PHONY: web
web: $(WEB_BUNDLE) ## Bundle the go-live and the player page.

.PHONY: build
build: packages web ## Build both binaries, the publisher and the demonstration.
	$(call step,Binaries)
	cargo build --locked -p inlet-edge -p inlet-origin -p tests --bins

# --- Trying it out ---------------------------------------------------------

# A script that waits for urls.json must never see that of the run before.
.PHONY: demo demo-fleet demo-forget
demo-forget:
	@rm -f target/demo/urls.json

demo: demo-forget build ## Run all of it; SOURCE=none or SOURCE=path/to/file publishes something else.
	@exec $(BUILD)/debug/demo --directory target/demo --source '$(SOURCE)' $(ARGS)

demo-fleet: demo-forget build ## Run three points of presence that are name servers, and see them steer.
	@.ci/packages --advise $(PACKAGES_FLEET)
	@exec $(BUILD)/debug/demo --fleet --directory target/demo --source '$(SOURCE)' $(ARGS)

# --- Checks ----------------------------------------------------------------

.PHONY: fmt fmt-check lint doc deny
fmt: ## Format the Rust code.
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml

fmt-check:
	$(call step,Format)
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check

lint: packages web ## Lint the Rust code, warnings being errors.
	$(call step,Lint)
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: packages web ## Build the documentation, warnings being errors.
	$(call step,Documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items

deny: ## Check bans, licences and sources of the dependencies.
ifeq ($(DENY),yes)
	$(call step,Dependencies)
	cargo deny --locked check bans licenses sources
else
	$(call step,Dependencies: left out because cargo-deny is not installed)
endif

.PHONY: test test-unit test-system test-web test-browser
test: packages-test web fmt-check deny lint doc test-unit fuzz test-system test-web test-browser ## Run everything that must pass.
	$(call step,All passed)

test-unit: packages web ## Run the unit and scenario tests.
	$(call step,Unit and scenario tests)
ifeq ($(NEXTEST),yes)
	cargo nextest run --locked --workspace -E 'not (package(tests) & kind(test))'
else
	cargo test --locked --workspace --exclude tests --all-targets
	cargo test --locked -p tests --lib
endif
	cargo test --locked --workspace --doc

# A workspace of its own, since all of it is built with instrumentation; so
# `lint` and `deny` do not see it, and nothing of it is ever shipped.
.PHONY: fuzz fuzz-build
fuzz-build: packages web ## Build the fuzz targets.
	$(call step,Fuzz targets)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	cd $(FUZZ) && cargo fuzz build --fuzz-dir . --sanitizer none --target-dir $(BUILD)/fuzz

# What is found is added to the build folder, never to the seeds.
fuzz: fuzz-build ## Feed each fuzz target for SECONDS= seconds.
	$(call step,Fuzzing)
	@cd $(FUZZ) && for target in $$(ls seeds); do \
	    corpus=$(BUILD)/fuzz-corpus/$$target; mkdir -p $$corpus; \
	    cargo fuzz run --fuzz-dir . --sanitizer none --target-dir $(BUILD)/fuzz \
	        $$target $$corpus seeds/$$target -- -max_total_time=$(SECONDS) -verbosity=0 -print_final_stats=1; \
	done

test-system: packages-test build ## Run the tests of the real binaries.
	$(call step,System tests)
ifeq ($(NEXTEST),yes)
	cargo nextest run --locked -p tests -E 'kind(test)'
else
	cargo test --locked -p tests --test '*' -- --test-threads=1
endif

CLIENTS := $(BUILD)/clients
$(CLIENTS)/.installed: tests/clients/requirements.txt
	@.ci/packages $(PACKAGES_CLIENTS)
	$(call step,Clients from PyPI)
	/usr/bin/python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --requirement $<
	@touch $@

.PHONY: test-clients
test-clients: packages-test build $(CLIENTS)/.installed ## Publish with aiortc and FFmpeg's whip muxer too.
	$(call step,WHIP clients)
	INLET_CLIENTS=$(CLIENTS) cargo test --locked -p tests --test whip_clients -- --include-ignored --test-threads=1

test-web: $(WEB)/node_modules/.package-lock.json ## Check and test the pages without a browser.
	$(call step,Tests of the pages)
	cd $(WEB) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) npm run check
	$(NODE) $(WEB)/node_modules/.bin/oxlint --deny-warnings $(BROWSER)/support $(BROWSER)/test
	cd $(WEB) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) npm test

test-browser: packages-test build $(BROWSER)/node_modules/.package-lock.json ## Run the tests in Chromium.
	$(call step,Browser tests)
	cd $(BROWSER) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) INLET_BIN=$(BUILD)/debug npm test

# --- Measuring -------------------------------------------------------------

.PHONY: bench soak soak-stream soak-turn soak-players
bench: packages-bench web $(BROWSER)/node_modules/.package-lock.json ## Run the benchmarks, or the one named by BENCH=.
	$(call step,Release binaries)
	cargo build --locked --release -p inlet-edge -p inlet-origin -p benches --bins
	$(call step,Benchmarks)
	$(NODE) INLET_BIN=$(BUILD)/release cargo bench --locked -p benches $(if $(BENCH),--bench $(BENCH),--benches)

soak: soak-turn soak-players soak-stream ## Load both roles for minutes and watch for leaks, losses and stalls.

soak-players: packages-test build $(BROWSER)/node_modules/.package-lock.json
	$(call step,Soak of the players: three minutes each)
	cd $(BROWSER) && $(subst .ci/,$(CURDIR)/.ci/,$(NODE)) INLET_BIN=$(BUILD)/debug INLET_SOAK=1 \
	    node --test --test-name-pattern='without a stall' test/players.test.js

soak-turn: packages-test build
	$(call step,Soak of TURN: $(TURN_MINUTES) minutes)
	INLET_SOAK_TURN_MINUTES=$(TURN_MINUTES) cargo test --locked -p tests --test turn_soak -- --include-ignored --nocapture

soak-stream: packages-test build
	$(call step,Soak of a stream: $(MINUTES) minutes)
	INLET_SOAK_MINUTES=$(MINUTES) cargo test --locked -p tests --test soak -- --include-ignored --nocapture
