# Two commands set everything up on a fresh Debian machine: `make demo` and `make test`.
# Both work offline once the dependencies are there.

export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO ?= cargo
# One profile for everything, so that llama.cpp is compiled once.
PROFILE := --release
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

.PHONY: all deps bench-deps build install test demo bench ratio model-eval cross-check fuzz fmt lint doc clean

all: build

deps:
	@scripts/deps.sh build test

bench-deps:
	@scripts/deps.sh build bench

build: deps
	$(CARGO) build $(PROFILE)

install: deps
	$(CARGO) install --path . --locked

test: deps
	$(CARGO) fmt --check
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings
	$(CARGO) test $(PROFILE) --no-fail-fast

demo: build
	@scripts/demo.sh

bench: bench-deps
	$(CARGO) bench

ratio: bench-deps
	$(CARGO) bench --bench ratio

# The built-in models through the codecs, on held-out text and on the evaluation corpus: 20 minutes on two cores.
model-eval: bench-deps
	@scripts/model-eval.sh

# The exact kernels on other processors, emulated: as root, with mmdebstrap; about 10 minutes, and 4 more the first time.
cross-check:
	@scripts/cross-check.sh

fuzz: deps
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	@set -e; for target in $$(cd fuzz && $(CARGO) +nightly fuzz list); do \
		echo "== fuzz $$target, $(FUZZ_SECONDS) s"; \
		case $$target in parser|open) more=tests/vectors;; *) more=;; esac; \
		$(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target $$more -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -rss_limit_mb=4096; \
	done

fmt:
	$(CARGO) fmt

lint: deps
	$(CARGO) fmt --check
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings

doc: deps
	$(CARGO) doc --no-deps

clean:
	$(CARGO) clean
	rm -rf demo
