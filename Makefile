# `make help` lists what there is. Everything works in a fresh clone; what is missing on the host is installed or named.
PYTHON ?= python3
# Scenarios that `make test` runs; `make molecule SCENARIOS=…` runs any other in molecule/.
SCENARIOS ?= base timesync
# Rehearsal tests that `make test` runs; `make rehearsal-tests MARKS=` runs all.
MARKS ?= -m "not by_hand"
VENV := .venv
BIN := $(VENV)/bin
LAB := bin/lab
.DEFAULT_GOAL := help
.PHONY: help setup rehearsal check format lint lint-scenarios manifest dist types unit unit-thorough go-test test short-labs molecule lab-tests rehearsal-tests bench down clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

# The environment is made anew whenever pyproject.toml changes.
$(VENV)/.made: pyproject.toml bin/setup-venv
	@bin/setup-venv $(PYTHON) $(VENV)
	@touch $@

setup: $(VENV)/.made ## the Python environment with all tools

rehearsal: setup ## build the lab, start it, run site.yml on it, report
	@$(LAB) status --format json | grep -q '"running": true' || $(LAB) up
	@$(LAB) inventory inventory/testnet >/dev/null
	$(LAB) exec -- ansible-playbook site.yml
	$(LAB) exec -- ansible-playbook playbooks/status.yml
	@$(LAB) judge

check: setup ## format, lint, types, unit tests: two minutes
	@$(MAKE) --no-print-directory -j2 lint unit
	@$(MAKE) --no-print-directory types

format: setup ## put all Python into the project's form
	$(BIN)/ruff format lab plugins tests bench bin/dist bin/hatch_build.py
	$(BIN)/ruff check --fix -q lab plugins tests bench bin/dist bin/hatch_build.py

lint: setup
	$(BIN)/ruff format --check -q lab plugins tests bench bin/dist bin/hatch_build.py
	$(BIN)/ruff check -q lab plugins tests bench bin/dist bin/hatch_build.py
	$(BIN)/yamllint -s .
	$(BIN)/ansible-lint -q --exclude molecule/

# Most of ansible-lint's time is one start of Ansible a playbook, and the scenarios have forty.
lint-scenarios: setup
	$(BIN)/ansible-lint -q molecule/

manifest: ## write into galaxy.yml which files are shipped (after adding or removing one)
	@bin/dist list

dist: setup ## the tarball and the wheel, in dist/
	@$(BIN)/python bin/dist build

types: setup
	$(BIN)/mypy

# The chart is rendered by the pinned Helm, which is built once and kept.
WITH_HELM = helm=$$($(BIN)/python -m lab.kubernetes) && HELM_BINARY=$$helm

unit: setup
	@$(WITH_HELM) $(BIN)/pytest -q -n 2 --dist loadfile -m "not thorough"

unit-thorough: setup
	@$(WITH_HELM) $(BIN)/pytest -q -n 2 --dist loadfile -m thorough

go-test: setup ## tests of the lab's Go programs
	$(MAKE) -C lab/prysm test GO=$(abspath $(BIN)/go)

# Two labs side by side: one alone leaves half of two cores idle while it waits for slots and machines.
test: check ## everything: check, Go, Molecule, the whole site in the lab
	@$(MAKE) --no-print-directory unit-thorough
	@$(MAKE) --no-print-directory -j2 lint-scenarios go-test
	@$(MAKE) --no-print-directory -j2 short-labs rehearsal-tests

short-labs: setup
	@$(MAKE) --no-print-directory molecule
	@$(MAKE) --no-print-directory lab-tests

molecule: setup ## Molecule scenarios, on the machines of a lab of their own
	@bin/molecule-scenarios $(SCENARIOS)

lab-tests: setup ## the lab itself: its faults, and what it does when it is killed
	$(BIN)/pytest -v -x tests/rehearsal/test_00_lab.py

rehearsal-tests: setup ## the site's whole life in the lab
	$(BIN)/pytest -v -x $(MARKS) tests/rehearsal --ignore tests/rehearsal/test_00_lab.py

bench: setup ## the benchmark tables
	@for table in bench/*.py; do $$table || exit 1; done

down: ## end the lab
	@$(LAB) down

clean: down ## end the lab and forget its machines (caches stay)
	rm -rf .lab .lab-molecule
