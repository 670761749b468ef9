# `make sample` and `make test` need Python 3.11 to 3.13 with venv, and nothing else.
# Everything is installed into .venv, once; delete that folder to start afresh.
#
#   make sample                           a public-domain portrait -> out/
#   make sample PHOTO=me.jpg OUT=me       your photograph -> me/
#   make sample FLAGS="--face=1 --seed=3" any other flag of experiments.sample
#   make test                             the fast tests; `make test-slow` the rest
#   make lint                             style and types
#   make lock                             newest versions into requirements-lock.txt

SHELL := /bin/sh
PYTHON ?=
PHOTO ?=
OUT ?= out
FLAGS ?=
# Test processes. Two keep a laptop usable; more need about 2 GB of memory each.
WORKERS ?= 2

# Relative, so that the folder's own path may hold spaces.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c requirements-lock.txt
REQUIREMENTS := setup.py requirements-lock.txt

.PHONY: help sample test test-slow lint lock
help:
	@sed -n 's/^#   //p' Makefile

sample: $(VENV)/runtime.stamp
	@$(BIN)/python -m experiments.sample \
	    $(if $(PHOTO),--image="$(PHOTO)",--demo) --out="$(OUT)" $(FLAGS)

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist=loadfile

test-slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/dev.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# Exact versions for every supported Python in one file. setup.py names what we import.
# Apache Beam is left out: it holds back NumPy, Pillow and protobuf for everybody else.
LOCKED_EXTRAS := heic bfm exr bench issa validate dev
lock: $(BIN)/python
	$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --upgrade --python-version 3.11 \
	    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    $(foreach extra,$(LOCKED_EXTRAS),--extra $(extra)) setup.py -o requirements-lock.txt

$(VENV)/runtime.stamp: $(REQUIREMENTS) | $(BIN)/python
	@echo "Installing into $(VENV) (once; a few minutes) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/dev.stamp: $(REQUIREMENTS) | $(BIN)/python
	@echo "Installing into $(VENV) (once; a few minutes) ..."
	@$(PIP) -e ".[dev]"
	@touch $(VENV)/runtime.stamp $@

# A candidate must run (a version manager's shim may not) and be able to make a venv.
$(BIN)/python:
	@set -e; \
	if [ -n "$(PYTHON)" ]; then set -- "$(PYTHON)"; \
	else set -- python3.12 python3.11 python3.13 python3; fi; \
	for python in "$$@"; do \
	    if "$$python" -c 'import ensurepip, sys, venv; \
	        sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	        echo "Creating $(VENV) with $$("$$python" --version)"; \
	        exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	done; \
	echo "No usable Python among: $$*. Install Python 3.11, 3.12 or 3.13 with venv" >&2; \
	echo "(Debian, Ubuntu: apt install python3-venv) or give one: make PYTHON=/path/to/python" >&2; \
	exit 1
