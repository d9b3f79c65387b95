.DEFAULT_GOAL := help
PYTHON ?= python

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

check:  ## lint and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:  ## the whole test suite
	$(PYTHON) -m pytest

golden:  ## write the golden files anew; read the diff before committing it
	$(PYTHON) -m pytest tests/test_report.py --update-golden
	$(PYTHON) -c "import vggcost; from vggcost.report.bars import bars; open('docs/vgg16.svg', 'w', encoding='utf-8').write(bars(vggcost.analyze('vgg16')) + '\n')"

.PHONY: help check test golden
