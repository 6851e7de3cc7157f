# `make` alone lists what there is to do.

.DEFAULT_GOAL := help
.PHONY: help run build test lint unit cross test-arm64 msrv deb test-deb bench soak fuzz compare-happy clients image test-image clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: ## set up, build and serve on http://localhost:8080
	@tools/setup run
	cargo build --release --locked
	@exec target/release/magpie serve

build: ## set up and build target/release/magpie
	@tools/setup run
	cargo build --release --locked

test: ## set up and run everything that must pass
	@tools/setup test
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo check --locked --quiet --no-default-features
	cargo test --locked

lint: ## formatting and lints alone
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

unit: ## the tests that need no speech engine, browser or fault rig
	cargo test --locked --lib

ARM64 = aarch64-unknown-linux-gnu
cross: ## set up and build target/aarch64-unknown-linux-gnu/release/magpie for 64-bit ARM boards
	@tools/arm64-toolchain
	eval "$$(tools/arm64-toolchain --env)" && cargo build --release --locked --target $(ARM64)
	tools/check-binary $${CARGO_TARGET_DIR:-target}/$(ARM64)/release/magpie

# The crowds measure memory, which would be the emulator's; a box that starts itself again is not
# emulated any more where the kernel does not know the emulator (binfmt_misc).
ARM64_TESTS = --lib --test http --test websocket --test socketio --test happy --test sound --test decode --test cli
test-arm64: ## set up and run unit, protocol, store, crypto and sound tests as 64-bit ARM, emulated
	@tools/setup test
	@tools/arm64-toolchain
	eval "$$(tools/arm64-toolchain --env)" && cargo test --locked --no-fail-fast --target $(ARM64) $(ARM64_TESTS) -- --skip crowds:: --skip comes_up_again_by_itself

msrv: ## check with the oldest compiler that Cargo.toml promises, where rustup can get it
	@tools/msrv

deb: ## set up and make target/deb/magpie_VERSION_ARCH.deb of this machine's kind
	@tools/setup run
	cargo build --release --locked
	@tools/deb target/release/magpie $$(dpkg --print-architecture)

test-deb: deb ## install, upgrade, run, remove and purge that package in a root of its own (wants root and mmdebstrap)
	tools/test-deb target/release/magpie $$(dpkg --print-architecture) target/deb/base.tar

bench: ## set up and print figures beside their budgets
	@tools/setup bench
	cargo bench --locked

SOAK_MINUTES ?= 30
soak: ## half an hour of conversations with a failing network and an unplugged microphone
	@tools/setup test
	SOAK_MINUTES=$(SOAK_MINUTES) cargo test --release --locked --test soak -- --nocapture

FUZZ_SECONDS ?= 60
fuzz: ## run every fuzz target for a minute (FUZZ_SECONDS=60)
	@tools/setup fuzz
	@for target in $$(cargo +nightly fuzz list); do \
	  echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
	  mkdir -p fuzz/corpus/$$target; \
	  cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 || exit 1; \
	done

UPSTREAM ?= tests/happy/compare/upstream.jsonl
OURS ?= http://127.0.0.1:8080
compare-happy: ## ask two Happy servers the same and print what differs (UPSTREAM=URL OURS=URL)
	@npm --prefix tests/happy/compare ci --silent
	node tests/happy/compare/compare.js $(UPSTREAM) $(OURS)

clients: ## drive the published Happy CLIs against a box (700 MB below tests/clients, once)
	@tools/setup clients
	cargo test --locked --test happy -- --ignored --nocapture --test-threads 1 published

image: ## the card, from locked packages (target/image; needs root; 5 to 15 minutes the first time)
	image/build

test-image: ## build the card and start it in emulators (half an hour; needs qemu-system-arm)
	image/test-image

clean: ## remove what was built
	cargo clean
