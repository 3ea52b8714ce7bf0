# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
# Both make what they need; nothing but Python 3.11+, Make and git is needed beforehand.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Arguments for pytest, as in `make test ARGS="-k listing"`.
ARGS ?=

.PHONY: demo test test-all matrix test-oldest nox bench docs pictures lint format servers minio azurite nginx apache chromium clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

# Where the environment turns byte code off, each worker and each program of a test compiles anew what
# it imports: 4 s in a worker.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for a server: more of them than cores, each file's on servers of their own.
PARALLEL := -n 4 --dist loadfile

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# The tests marked `slow` as well, among them the further rules of variants (tests/variants.py). `HYPOTHESIS_PROFILE=random make test-all` selects a new seed, and
# prints it.
test-all: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) -m "" $(ARGS)

# Runs the conformance suite on every installed server, and rewrites docs/conformance.md.
matrix: $(VENV)/.test
	$(BIN)/python -m pytest -m "" --conformance-matrix docs/conformance.md tests/backends

# The native transports and aiohttp send their requests, or they use no server: no library whose oldest
# release differs takes part.
NOT_OLDEST := $(addprefix --ignore=tests/backends/,test_batches.py test_certificates.py \
	test_cleanup.py test_hedged_reads.py test_large_values.py \
	generic/test_minimal.py local/test_local_files.py local/test_local_locks.py \
	web/test_web_hostile.py web/test_web_index_pages.py)

# The oldest releases the package says it takes: zarr's own tests on every service, the rest on one
# server of a kind.
test-oldest: $(VENV)/.oldest
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS) \
		-k "zarr_flavour or not (seaweed or race or rclone or wsgidav)" \
		$(NOT_OLDEST) tests/backends tests/zarr_flavour tests/process

# zarr's own tests on every service with each release of noxfile.py that this machine has a Python for.
# `make nox ARGS="-s 'zarr(newest)'"` is one of them, `make nox ARGS=-l` lists them.
nox: servers $(VENV)/.nox
	$(BIN)/nox $(ARGS)

# This store beside its peers: docs/performance.md. `make bench ARGS=--quick` does less of it.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

# The documentation as a site in site/; whatever is wrong with a link or a docstring is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Pictures of the command at a terminal, by Rich from real runs: docs/images/terminal-*.svg.
pictures: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m pages.pictures

# The modules that define what is public: there each parameter is documented.
PUBLIC := $(addprefix src/fsspec_store/,*.py _store/buffer.py _store/contract.py _store/fsspec_store.py \
	_store/store_*.py _store/streams.py _store/sync.py _store/sync_streams.py \
	transfer/__init__.py transfer/transfers.py transfer/results.py transfer/operations.py transfer/options.py transfer/plans.py)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/numpydoc lint $(PUBLIC)
	$(BIN)/numpydoc lint --ignore PR01 $$(find src -name '*.py')

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The servers that no Python package brings along, and a browser.
servers: minio azurite nginx apache chromium

# A pinned MinIO in .tools/bin, built by the Go toolchain; says how to use Docker where there is none.
minio:
	sh tools/build_minio.sh

# A pinned Azurite in .tools/azurite, installed by npm.
azurite:
	sh tools/install_azurite.sh

# nginx from the packages of the system, by apt-get as root or with sudo; says what to do elsewhere.
nginx:
	sh tools/install_server.sh nginx nginx-light

# Apache with mod_dav, as nginx.
apache:
	sh tools/install_server.sh apache2 apache2-bin

# Chromium, as nginx; any Chromium or Chrome that is there is used.
chromium:
	sh tools/install_chromium.sh

clean:
	rm -rf .nox .venv .venv-* .tools build dist site

# Dependency groups need pip 25.1; a fresh environment may bring an older one.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[s3,zarr,cli]" --group demo
	touch $@

$(VENV)/.oldest: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[s3,gcs,azure,http,webdav,zarr]" --group oldest
	touch $@

$(VENV)/.nox: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group nox
	touch $@

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[s3,gcs,azure,http,zarr]" --group bench
	touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[s3,gcs,azure,http,webdav,zarr,cli,dask]" --group test
	touch $@
