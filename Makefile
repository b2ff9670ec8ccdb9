# The developer's commands. `make` alone lists them.

PYTHON ?= python3
RUN ?= .venv/bin/
GENERATE := $(wildcard engine/batuta/cli/generate.py engine/batuta/cli/generate/__main__.py)
# The demo needs less than a developer; a developer's environment serves it too.
DEMO := $(if $(wildcard .venv/.complete),.venv,.venv-run)
SERVERS := tests/servers

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-s3 test attacks check fmt lint types contracts generated schemas docs bench live lock fmt-check

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete  ## Make .venv with batuta and every tool, from requirements.lock

demo: $(DEMO)/.complete  ## Plan and apply a first workspace on this machine, from nothing
	PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" sh manifests/quickstart/demo.sh

demo-s3: $(DEMO)/.complete  ## The same against a real S3 server, started for the demo
	PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" $(DEMO)/bin/python -m tests.servers.seaweedfs run \
		--bucket quickstart -- sh manifests/quickstart/demo.sh s3

# What tests put up walls with and parse renderings with. Only root can install it; without it
# those tests are skipped by name.
SYSTEM_PACKAGES := nftables iproute2 squid
.PHONY: system-packages
system-packages:
	@missing=; for tool in nft ip squid; do \
		PATH="$$PATH:/usr/sbin:/sbin" command -v $$tool >/dev/null || missing=1; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES) >/dev/null; fi

test: setup system-packages  ## Run all tests; starts and stops the servers they need
	@$(RUN)python -m tests.servers._base.venv seaweedfs
	@$(RUN)python -m pytest -n 2 --dist loadgroup

attacks: setup system-packages  ## Run the attack suite as an ordinary user, also from a shell of root
	@$(RUN)python -m tests.servers._base.venv seaweedfs
	@$(RUN)python -m tests.attacks.unprivileged

check: fmt-check lint types contracts generated  ## Everything but the tests; green before a commit

fmt: setup  ## Format the code and sort its imports
	$(RUN)ruff check --quiet --select I --fix
	$(RUN)ruff format

fmt-check: setup
	$(RUN)ruff format --check

lint: setup  ## Look for mistakes and for what the style forbids
	$(RUN)ruff check

types: setup  ## Check the types, strictly
	$(RUN)mypy

contracts: setup  ## Check who may import whom
	$(RUN)lint-imports --no-cache

generated: setup  # Are schemas/ and docs/reference/ what the code says?
	$(if $(GENERATE),$(RUN)python -m batuta.cli.generate --check)

schemas: setup  ## Write schemas/ from the models
	$(RUN)python -m batuta.cli.generate schemas

docs: setup  ## Write the generated pages of docs/reference/
	$(RUN)python -m batuta.cli.generate docs

bench: setup  ## Compare with the peers, as ratios in one run
	@$(RUN)python -m tests.servers._base.venv seaweedfs peers
	$(RUN)python -m tests.bench

live: setup  ## Run the conformance tests against real accounts named in the environment
	$(RUN)python -m pytest -m live

lock: .cache/uv/bin/uv  ## Resolve the dependencies anew and write the locks
	$(UV) pyproject.toml --all-extras --group dev --output-file requirements.lock
	$(UV) pyproject.toml --all-extras --group build --constraint requirements.lock \
		--output-file requirements-run.lock
	for server in seaweedfs peers; do $(UV) $(SERVERS)/$$server/requirements.in \
		--output-file $(SERVERS)/$$server/requirements.lock || exit; done

# One environment is the locked packages and batuta itself, the latter as a link to this folder.
.venv/.packages: requirements.lock
.venv-run/.packages: requirements-run.lock
.venv/.packages .venv-run/.packages:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "batuta needs Python 3.11 or newer; choose one: make PYTHON=python3.12 ..." >&2; exit 1; }
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

%/.complete: %/.packages pyproject.toml engine/batuta/__init__.py
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--no-build-isolation --editable .
	@touch $@

.PRECIOUS: .venv/.packages .venv-run/.packages

UV = .cache/uv/bin/uv --no-config pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header

.cache/uv/bin/uv:
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
