# make serve    a chat room on tcp://127.0.0.1:8888; talk in it with nc, telnet or socat
# make test     everything that is checked: style, types, tests
#
# Each sets up what it needs first, in .venv (scripts/setup.sh); a second run finds it there.
# Another Python:    make test PYTHON=/usr/bin/python3.12
# Another endpoint:  make serve ENDPOINT=tcp://127.0.0.1:9000

PYTHON ?= python3
ENDPOINT ?= tcp://127.0.0.1:8888
BIN := .venv/bin

.PHONY: help serve test lint format pictures clean setup setup-test

help:
	@echo 'make serve     a chat room on $(ENDPOINT)'
	@echo 'make test      style, types and tests'
	@echo 'make lint      style and types alone'
	@echo 'make format    put the style right'
	@echo 'make pictures  draw docs/pictures anew from a real session'
	@echo 'make clean     remove what the others made, .venv too'

serve: setup
	@exec $(BIN)/jackfield serve chat $(ENDPOINT)

# The examples are written as a reader would write them, without annotations.
lint: setup-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests fuzz docs
	$(BIN)/mypy --explicit-package-bases --allow-untyped-defs --allow-untyped-calls examples

# pytest comes last: its closing line is the result. .venv/bin also has the tools that only the
# tests call. Two at a time: half of a test's life is waiting, and some measure what they wait for.
test: lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest --numprocesses 2

format: setup-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pictures: setup-test
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/pictures/make_session.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m docs.pictures.make_wire
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m docs.pictures.make_fds
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m docs.pictures.make_top

setup:
	@PYTHON='$(PYTHON)' sh scripts/setup.sh

setup-test:
	@PYTHON='$(PYTHON)' sh scripts/setup.sh test

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis build dist src/jackfield.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
