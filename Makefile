# Two commands do everything on a fresh Debian 12 machine (as root): `make demo` and `make test`.
VENV := .venv/bin
export PATH := $(CURDIR)/$(VENV):$(PATH)

.PHONY: help setup demo test check lint types unit integration molecule molecule-arm64 benchmarks clean collection soak
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup:  ## install what is needed; reuses what is there
	@scripts/setup.sh

demo: setup  ## the main job, live: an overload makes the orchestrator start one more consumer
	@$(VENV)/orchestrator lab demo

test: check unit integration molecule  ## all quality gates and all tests
	@echo "make test: all gates and tests passed"

check: setup lint types  ## the quality gates alone

lint:
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/yamllint --strict .
	$(VENV)/ansible-lint --offline --profile production playbooks roles tests/molecule

types:
	$(VENV)/mypy
	$(VENV)/mypy fogverse/src examples/incident_detection/incident_detection

unit: setup  ## the fast tests: seconds
	$(VENV)/python -m pytest -q tests/unit tests/property

integration: setup  ## the tests on a real broker and on simulated devices: minutes
	@scripts/integration.sh

molecule molecule-arm64: export MOLECULE_GLOB = tests/molecule/*/molecule.yml
molecule: setup  ## the tests of the roles, each on simulated devices of its own: minutes
	$(VENV)/molecule test --all --exclude arm64

molecule-arm64: setup  ## one of them on an emulated arm64 device; needs the packages qemu-user-static and arch-test
	$(VENV)/molecule test --scenario-name arm64

collection: setup  ## the roles as an Ansible collection, in dist/
	$(VENV)/ansible-galaxy collection build --force --output-path dist

benchmarks: setup  ## all benchmarks; each prints a ratio against a named alternative
	$(VENV)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[benchmarks,picture]'
	[ -x .cache/pyinfra/bin/pyinfra ] || python3 -m venv .cache/pyinfra
	.cache/pyinfra/bin/pip install -q --disable-pip-version-check -r benchmarks/pyinfra.txt
	$(VENV)/python benchmarks/observer_load.py
	$(VENV)/python benchmarks/time_to_scale.py
	$(VENV)/python benchmarks/fleet_deploy.py
	$(VENV)/python benchmarks/parallel_consumption.py
	$(VENV)/python benchmarks/reporting_cost.py
	$(VENV)/python benchmarks/tick.py
	$(VENV)/python benchmarks/elasticity.py --quick

soak: setup  ## 200 scale-outs and scale-ins, and what they leave behind: half an hour
	$(VENV)/python benchmarks/soak.py --rounds 200

clean:  ## remove what make has made; running labs are ended first
	@[ ! -x $(VENV)/orchestrator ] || $(VENV)/orchestrator lab down
	rm -rf .venv .cache .lab .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-report.json demo-*.log
