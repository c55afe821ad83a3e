# make demo   train, measure and picture a small MoBaNet on a synthetic city
# make test   every test
# make docs   the manual, into site/
# All create .venv where it is missing and install the tested versions into it.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs

demo: $(INSTALLED)
	$(BIN)/python demo/run.py

# A file's tests stay in one process, for the trainings that they share; tests/conftest.py orders
# the files. Without the two variables, processes of torch spin for each other's cores, which takes
# them ten times as long.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest \
		-n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Pages and docstrings are read, not run: of the package's own needs nothing is installed.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: requirements/docs.txt requirements/tested.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements/docs.txt -c requirements/tested.txt
	touch $@

$(INSTALLED): setup.py $(wildcard requirements/*.txt)
	@test -n '$(PYTHON)' || { echo 'Python 3.11, 3.12 or 3.13 was not found; pass one: make PYTHON=/path/to/python'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip -c requirements/tested.txt
	# an mmcv that is already there, lite or full, stays
	$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("mmcv") is None)' \
		|| $(BIN)/python -m pip install -r requirements/lite.txt -c requirements/tested.txt
	$(BIN)/python -m pip install -e '.[openmmlab,tests]' -c requirements/tested.txt
	touch $@
