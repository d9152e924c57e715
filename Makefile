# `make help` lists what there is. Everything works in a fresh clone; what is missing on the host is installed or named.
PYTHON ?= python3
# `make molecule SCENARIOS="firewall nfs_server"` runs scenarios of molecule/ by name.
SCENARIOS ?= base timesync
# A part of the lab's work, for machines that share it: `make test SHARD=1/3`.
SHARD ?= 1/1
# Which sequences of faults, by number.
FAULTS ?= 0-99
VENV := .venv
BIN := $(VENV)/bin
LAB := bin/lab
TOOLS := scripts/dist scripts/hatch_build.py scripts/lab-units
.DEFAULT_GOAL := help
.PHONY: help setup rehearsal faults check format lint lint-scenarios lint-docs manifest dist artifact sanity types unit unit-thorough go-test test release-test lab-work molecule bench down clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

# The environment is made anew whenever pyproject.toml changes.
$(VENV)/.made: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(PYTHON) $(VENV)
	@touch $@

setup: $(VENV)/.made ## the Python environment with all tools

rehearsal: setup ## build the lab, start it, run site.yml on it, report
	@$(LAB) status --format json | grep -q '"running": true' || $(LAB) up
	@$(LAB) inventory inventory/testnet >/dev/null
	$(LAB) exec -- ansible-playbook site.yml
	$(LAB) exec -- ansible-playbook playbooks/status.yml
	@$(LAB) judge

# Goes on where it was ended: what each sequence came to is kept in .lab-faults.jsonl.
faults: setup ## sequences of random faults in a lab of their own (FAULTS=17, SHARD=1/3)
	@LAB_STATE_DIR=.lab-faults FAULTS=$(FAULTS) FAULTS_SHARD=$(SHARD) FAULTS_KEPT=.lab-faults.jsonl \
	    $(BIN)/pytest -s tests/rehearsal/test_04_faults.py -m "by_hand or not by_hand"

check: setup ## format, lint, types, unit tests: three to four minutes
	@$(MAKE) --no-print-directory -j2 lint unit
	@$(MAKE) --no-print-directory -j2 types lint-docs

format: setup ## put all Python into the project's form
	$(BIN)/ruff format lab plugins tests bench $(TOOLS)
	$(BIN)/ruff check --fix -q lab plugins tests bench $(TOOLS)

lint: setup
	$(BIN)/ruff format --check -q lab plugins tests bench $(TOOLS)
	$(BIN)/ruff check -q lab plugins tests bench $(TOOLS)
	$(BIN)/yamllint -s .
	$(BIN)/ansible-lint -q --exclude molecule/

# Most of ansible-lint's time is one start of Ansible a playbook, and the scenarios have forty.
lint-scenarios: setup
	$(BIN)/ansible-lint -q molecule/

manifest: ## write into galaxy.yml which files are shipped (after adding or removing one)
	@scripts/dist list

dist: setup ## the tarball and the wheel, in dist/
	@$(BIN)/python scripts/dist build

# Modules' and roles' documentation as antsibull reads it, and the changelog: a release could not be made without.
lint-docs: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck --validate-collection-refs=self .
	@$(BIN)/antsibull-changelog lint

artifact: setup ## tarball and wheel, each installed in an environment of its own
	@scripts/try-artifact

sanity: setup ## ansible-test sanity, and Galaxy's own import
	@scripts/sanity

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

test: check ## everything: check, Go, Molecule, the whole site in the lab
	@$(MAKE) --no-print-directory unit-thorough
	@$(MAKE) --no-print-directory -j2 lint-scenarios go-test
	@$(MAKE) --no-print-directory lab-work

# Two labs side by side: one alone leaves half of two cores idle while it waits for slots and machines.
lab-work: setup ## what needs a lab, longest first (tests/lab-units.yml)
	@$(BIN)/python scripts/lab-units --shard $(SHARD)

release-test: setup ## what takes too long for every day: once before a release
	@$(BIN)/python scripts/lab-units --when release
	@$(MAKE) --no-print-directory sanity artifact

molecule: setup ## Molecule scenarios, on the machines of a lab of their own
	@scripts/molecule-scenarios $(SCENARIOS)

bench: setup ## the benchmark tables
	@for table in bench/*.py; do $$table || exit 1; done

down: ## end the lab
	@$(LAB) down

clean: down ## end the lab and forget its machines (caches stay)
	rm -rf .lab .lab-molecule .lab-faults .lab-1 .lab-2 .lab-1-logs .lab-2-logs
