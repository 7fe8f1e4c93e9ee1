# The daily commands. `make quickstart` and `make test` are all that a newcomer needs.

CARGO ?= cargo
MACHINE := target/release/machine
# Tests keep their templates here, so that your own machines stay out of it.
TEST_HOME := $(CURDIR)/target/test-home

.DEFAULT_GOAL := help
.PHONY: help quickstart build test check bench fmt clean-tests

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: ## install what is missing, build, and run a command in a real machine
	@scripts/install-host
	@$(MAKE) --no-print-directory build
	@scripts/quickstart $(MACHINE)

build: ## the release binary: target/release/machine
	$(CARGO) build --release --locked --package machine

check: ## what takes seconds: format, lints, house rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	$(CARGO) test --quiet --locked --package machine-tests --test repo

test: ## every test, with real machines; installs what it needs
	@scripts/install-host test
	@scripts/test "$(TEST_HOME)"

bench: build ## boot, exec, create and crowds beside plain QEMU, the network beside slirp and passt; writes bench/results
	@scripts/install-host bench
	@scripts/bench $(MACHINE)

fmt: ## format everything
	$(CARGO) fmt --all

clean-tests: ## forget the tests' templates
	rm -rf "$(TEST_HOME)"
