# `make` lists the targets. Most run in .venv, which make creates on first use
# and updates when the lock file or pyproject.toml changes.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# The interpreter for a new environment: PYTHON=…, otherwise the first of these candidates that is 3.10 to 3.13.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python python3.13 python3.12 python3.11 python3.10)
SUITABLE := import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] < (3, 14))

# The number of pytest processes. The suite is made for two cores; JOBS=0 runs it in one process.
JOBS ?= 2
# Additional arguments for pytest or the script of a target: make unit ARGS="-k state"
ARGS ?=
# The config of a real account for demo and probe: make demo CONFIG=secrets/config.json
CONFIG ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_REQUIRE_VIRTUALENV := 1
export PYTHONUNBUFFERED := 1

say = @printf '\033[1m== %s\033[0m\n' "$(1)"

.PHONY: help demo test lint types unit integration bench soak probe test-cdk test-pythons test-tools test-duckdb test-postgres format lock wheel release-dry-run clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## start a local Close API and read all six streams twice (CONFIG=path: use a real account, read only)
	@$(PY) -m integration_tests.demo $(if $(CONFIG),--config "$(CONFIG)")

test: ## run lint, types, unit tests and integration tests
	@$(MAKE) lint
	@$(MAKE) types
	@$(MAKE) unit
	@$(MAKE) integration
	$(call say,All checks passed)

lint: $(READY) ## check the rules and the format with ruff
	$(call say,Lint)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(READY) ## check the types with mypy in strict mode
	$(call say,Types)
	@$(PY) -m mypy

unit: $(READY) ## run the unit tests
	$(call say,Unit tests)
	@$(PY) -m pytest -q -n $(JOBS) unit_tests $(ARGS)

integration: $(READY) ## run the connector against the local Close API
	$(call say,Integration tests)
	@$(PY) -m pytest -q -n $(JOBS) --dist worksteal integration_tests $(ARGS)

bench: $(READY) ## compare speed, memory and completeness with tap-closeio (ARGS=--all: all parts)
	@$(PY) -m benchmarks.run $(ARGS)

soak: $(READY) ## run many random syncs with faults and changing data
	@$(PY) -m integration_tests.soak $(ARGS)

probe: $(READY) ## check on a real account what Close does not document (CONFIG=path, read only)
	@$(PY) -m integration_tests.probe --config "$(CONFIG)" $(ARGS)

# All versions are those of the lock file, except airbyte-cdk and its requirements.
define on_cdk
$(call say,Integration tests with the $(1) airbyte-cdk)
@test -x build/cdk-$(1)/bin/python || $(PY) -m venv build/cdk-$(1)
@build/cdk-$(1)/bin/python -m pip install --quiet --requirement requirements-dev.lock
@build/cdk-$(1)/bin/python -m pip install --quiet --upgrade "airbyte-cdk$(2)"
@build/cdk-$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
@build/cdk-$(1)/bin/python -m pip list | grep airbyte-cdk
@build/cdk-$(1)/bin/python -m pytest -q -n $(JOBS) --dist worksteal integration_tests $(ARGS)
endef
CDK_OLDEST := $(shell sed -n 's/.*"airbyte-cdk>=\([0-9.]*\),.*/\1/p' pyproject.toml)
CDK_BELOW := $(shell sed -n 's/.*"airbyte-cdk>=[0-9.]*,\(<[0-9]*\)".*/\1/p' pyproject.toml)
test-cdk: $(READY) ## run the integration tests with the oldest and the newest airbyte-cdk that pyproject.toml allows
	$(call on_cdk,oldest,==$(CDK_OLDEST))
	$(call on_cdk,newest,$(CDK_BELOW))

test-pythons: wheel ## test the wheel and the locked packages on each installed Python from 3.10 to 3.13
	$(call say,Each Python)
	@$(PY) -m pytest -q -rs --timeout 900 integration_tests/checks/check_pythons.py $(ARGS)

TOOLS := build/tools
test-tools: wheel ## run the manifest in Airbyte's tools: source-declarative-manifest, Connector Builder, manifest server
	@test -x $(TOOLS)/bin/python || $(PY) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --constraint requirements.lock "airbyte-cdk[manifest-server]"
	@$(TOOLS)/bin/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	$(call say,Airbyte's tools)
	@$(PY) -m pytest -q integration_tests/checks/check_airbyte_tools.py $(ARGS)

# PyAirbyte is large, so it has a separate environment.
PYAIRBYTE := build/pyairbyte
define with_pyairbyte
@test -x $(PYAIRBYTE)/bin/python || $(PY) -m venv $(PYAIRBYTE)
@$(PYAIRBYTE)/bin/python -m pip install --quiet "airbyte>=0.71,<1" dist/*.whl
@$(PYAIRBYTE)/bin/python -m pip install --quiet --no-deps --force-reinstall dist/*.whl
$(call say,PyAirbyte and $(1))
@$(PY) -m pytest -q integration_tests/checks/check_$(2).py $(ARGS)
endef
test-duckdb: wheel ## sync to DuckDB with PyAirbyte and check the views of examples/ and the queries of docs/
	$(call with_pyairbyte,DuckDB,duckdb)

test-postgres: wheel ## sync to a temporary Postgres server with PyAirbyte and check the views of examples/
	$(call with_pyairbyte,Postgres,postgres)

format: $(READY) ## fix and format the code with ruff
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

# The lock files have no hashes, because a mirror may serve other builds of the same versions, and name no index.
LOCK := build/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 \
	--no-config --no-header --no-annotate --no-emit-index-url --no-emit-find-links

lock: ## rewrite both lock files (UPGRADE=1: with the newest versions that fit)
	$(call find_python)
	@"$$(cat build/python)" -m venv build/lock
	@build/lock/bin/python -m pip install --quiet uv
	@$(LOCK) $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(call say,Wrote requirements.lock and requirements-dev.lock)

wheel: $(READY) ## build dist/*.whl
	@rm -rf dist
	@$(PY) -m build --wheel --no-isolation --outdir dist . >/dev/null
	$(call say,Wrote $$(ls dist/*.whl))

# All that the release workflow does before it publishes. Airbyte's command wants a folder with the connector's name; that
# folder has no source code, so the tests run on the wheel.
RELEASE := build/release
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
TAG ?= v$(VERSION)
# A command to use instead of Docker or Podman: `$(IMAGE_CHECK) build` builds the image, `$(IMAGE_CHECK) run spec` runs it.
IMAGE_CHECK ?=
release-dry-run: ## run all steps of a release except publishing (TAG=v1.2.3, IMAGE_CHECK=command: without Docker)
	@test "$(TAG)" = "v$(VERSION)" || \
		{ echo "The tag is $(TAG), but the version in pyproject.toml is $(VERSION)." >&2; exit 1; }
	@$(MAKE) wheel
	$(call say,Airbyte's standard tests on the wheel)
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)/source-close && $(PY) -m venv $(RELEASE)/environment
	@$(RELEASE)/environment/bin/python -m pip install --quiet --requirement requirements-dev.lock
	@$(RELEASE)/environment/bin/python -m pip install --quiet --no-deps dist/*.whl
	@cp -R acceptance-test-config.yml conftest.py integration_tests metadata.yaml pyproject.toml $(RELEASE)/source-close
	@mkdir $(RELEASE)/source-close/unit_tests && cp unit_tests/columns.yaml $(RELEASE)/source-close/unit_tests
	@cd $(RELEASE)/source-close && ../environment/bin/airbyte-cdk connector test
	@$(RELEASE)/environment/bin/source-close spec | grep '"type":"SPEC"' >$(RELEASE)/wheel-spec.json
	$(call say,The image)
	$(call test_image)

# The spec of the image must be the wheel's.
define test_image
@run=; \
if [ -n "$(IMAGE_CHECK)" ]; then $(IMAGE_CHECK) build || exit 1; run="$(IMAGE_CHECK) run"; \
else for engine in docker podman; do if $$engine info >/dev/null 2>&1; then \
	$$engine build --tag source-close:release . || exit 1; run="$$engine run --rm source-close:release"; break; fi; done; fi; \
if [ -z "$$run" ]; then \
	echo "Skipped: neither Docker nor Podman runs here, so the image was not built and its spec was not tested."; \
	echo "Start one of them, or name a command that builds and runs the image: make release-dry-run IMAGE_CHECK=…"; \
	echo "All other steps of $(TAG) passed."; \
else $$run spec | grep '"type":"SPEC"' >$(RELEASE)/image-spec.json; \
	cmp $(RELEASE)/wheel-spec.json $(RELEASE)/image-spec.json && echo "The image has the wheel's spec. All steps of $(TAG) passed."; fi
endef

clean: ## remove the environment and all generated files
	@rm -rf $(VENV) build dist demo-output .tmp .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Writes the path of a suitable interpreter to build/python, or prints what is missing.
define find_python
@mkdir -p build; found=; for name in $(CANDIDATES); do \
	if path=$$(command -v "$$name") && "$$path" -c '$(SUITABLE)' 2>/dev/null; then found=$$path; break; fi; done; \
if [ -z "$$found" ]; then \
	echo "source-close needs Python 3.10, 3.11, 3.12 or 3.13; tried: $(CANDIDATES)." >&2; \
	echo "Install one of them, or give its path: make PYTHON=/path/to/python3.11 …" >&2; exit 1; fi; \
echo "$$found" >build/python
endef

$(READY): requirements-dev.lock pyproject.toml
	@if [ ! -x $(PY) ]; then \
		rm -rf $(VENV) && $(MAKE) $(VENV) || exit 1; \
	fi
	$(call say,Installing into $(VENV))
	@echo "   the locked packages; this takes about a minute the first time"
	@$(PY) -m pip install --quiet --requirement requirements-dev.lock
	@echo "   source-close itself"
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV):
	$(call find_python)
	$(call say,Creating the environment $(VENV))
	@echo "   $$(cat build/python) ($$("$$(cat build/python)" -c 'import platform; print(platform.python_version())'))"
	@"$$(cat build/python)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot create environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
