.DEFAULT_GOAL := help
PYTHON ?= python

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

check:  ## lint and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

web:  ## lint of the pages' scripts and styles, by npm's biome
	npx --yes @biomejs/biome@2.6.8 lint --error-on-warnings templates

test:  ## the whole test suite
	$(PYTHON) -m pytest

cost:  ## this project's models against vggcost.lock.json, its tables and figures against the present ones
	$(PYTHON) -m vggcost check
	$(PYTHON) -m vggcost docs check README.md docs

golden:  ## write the golden files anew; read the diff before committing it
	$(PYTHON) -m pytest tests/test_report.py --update-golden
	$(PYTHON) -m tests.write_golden
	$(PYTHON) -m vggcost docs sync README.md docs

bench:  ## what vggcost itself costs, against its goals; ONLY=tracing for one part, QUICK=1 for few rounds
	$(PYTHON) -m benchmarks.bench $(ONLY) $(if $(QUICK),--quick)

docs:  ## the site, into build/site; needs ".[docs]" and no torch
	$(PYTHON) -m sphinx -q -E -W --keep-going -n -b html -d build/doctrees docs build/site

.PHONY: help check web test cost golden bench docs
