# What people and CI run, one target each; plain `make` lists them. Everything happens in .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
LOCKS := requirements-build.lock requirements-dev.lock
INSTALLED := .venv/.installed
# Nothing is fetched that no lock file names: what comes as source (pyvips, this checkout) is built
# with the setuptools of requirements-build.lock.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# The half without I/O, clock or environment is covered line by line and branch by branch; the
# other half talks to sockets, processes and libvips, where a floor is what can be asked.
PURE := imgproxy/dialects/*,imgproxy/options/*,imgproxy/planning.py,imgproxy/negotiation.py,$\
imgproxy/presets/*,imgproxy/corrections.py,imgproxy/missigned.py,imgproxy/geometry.py,imgproxy/formats.py,imgproxy/signing.py,$\
imgproxy/freshness.py,imgproxy/fields.py,imgproxy/caches/purges.py,imgproxy/model.py,imgproxy/errors.py,imgproxy/etags.py,imgproxy/environment.py,$\
imgproxy/render/waves.py,imgproxy/render/blurhash.py,imgproxy/render/thumbhash.py,$\
imgproxy/configuration/*,imgproxy/warming/places.py,imgproxy/warming/sitemaps.py
FLOOR ?= 85

# For example: make test ARGS="-k orientation"
ARGS ?=
PYTEST := $(BIN)/pytest -n auto --dist worksteal

.PHONY: help install bench bench-full bench-quality bench-encoders demo cluster cluster-check hostile chaos serve test soak fmt lint types imports golden docs docs-check hadolint image \
        cover check lock clean parts

help:
	@awk -F ': |## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$NF }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv from the lock files, with this checkout in it

$(INSTALLED): $(LOCKS) pyproject.toml
	@.ci/parts venv $(PYTHON)
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements-build.lock
	$(PIP) --require-hashes --no-build-isolation -r requirements-dev.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

parts: ## install Debian's parts that the tests need, where they are missing
	@.ci/parts tests

demo: install ## start the server on its sample pictures and say where to look
	$(BIN)/imgproxy demo

cluster: install parts ## start an edge, three nodes and Redis on this machine, and say where to look
	$(BIN)/python deploy/cluster.py

cluster-check: install parts ## print what such a cluster does under herds, deaths, purges and outages; takes minutes
	$(BIN)/python bench/cluster.py
	$(BIN)/python bench/faults.py

hostile: install parts ## send every odd file of IMAGE_CORPUS, bombs and forged URLs, beside ordinary requests; takes minutes
	$(BIN)/python -m bench.hostile $(ARGS)
	$(BIN)/pytest -n0 -m "" -q tests/origins/test_ssrf_e2e.py tests/render/test_sandbox.py
	$(BIN)/pytest -n0 -m soak -q tests/render/test_bombs.py tests/test_signing.py tests/fuzz
	$(BIN)/python bench/sandbox.py

chaos: install parts ## break one part after the other, and overload a node; takes minutes
	$(BIN)/python -m bench.chaos $(ARGS)
	$(BIN)/python bench/overload.py

bench: install parts ## measure this server, its peers and bare libvips; three minutes
	$(BIN)/python -m bench.race $(ARGS)

bench-full: install parts ## the same for longer; writes docs/performance.md and its chart from the newest three runs
	$(BIN)/python -m bench.race --full --output docs/performance.json --keep 3 $(ARGS)
	$(BIN)/python docs/generate.py

bench-quality: install ## measure the quality profiles (needs the package ssimulacra2); takes minutes
	$(BIN)/python -m bench.quality $(ARGS)

bench-encoders: install ## measure what the encoders' defaults were chosen from (needs ssimulacra2); takes minutes
	$(BIN)/python -m bench.encoders $(ARGS)

serve: install ## start the server with the settings of the environment
	$(BIN)/imgproxy serve

test: install parts ## run the whole suite in parallel
	$(PYTEST) $(ARGS)

fmt: install ## format the code and repair what ruff can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: install ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## check types
	$(BIN)/basedpyright

imports: install ## check the import contracts
	$(BIN)/lint-imports

soak: install parts ## what takes minutes: every file of IMAGE_CORPUS (../shared/corpus), a million pairs of plans, ten minutes of load
	$(BIN)/pytest -m soak -s --timeout 0 $(ARGS)
	$(BIN)/python -m bench.hostile --soak

golden: install parts ## write goldens that are missing or no longer match; then look at the diff
	IMGPROXY_GOLDEN=write $(PYTEST) $(ARGS)

docs: install ## write the generated pages, and nginx/, the edge of deploy/compose.yaml
	$(BIN)/python docs/generate.py
	$(BIN)/python -m imgproxy.edge nginx

docs-check: install ## check that the generated pages are current
	$(BIN)/python docs/generate.py --check

hadolint: install ## check the style of the Dockerfiles
	$(BIN)/hadolint Dockerfile deploy/edge.Dockerfile

image: hadolint ## check the Dockerfile, and replay its steps without a container engine
	$(BIN)/python deploy/replay.py

cover: install parts ## run the suite; the pure half must be covered whole, the rest to a floor
	$(PYTEST) --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=$(FLOOR)
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=100 --include='$(PURE)'

check: lint types imports docs-check image cover ## everything CI runs

lock: ## resolve the lock files anew; UPGRADE=--upgrade takes newer versions
	@.ci/lock $(PYTHON) $(UPGRADE)

clean: ## remove everything that can be made again
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .pytest_cache .ruff_cache \
	  .import_linter_cache .hypothesis tests/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
