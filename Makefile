.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help venv demo nlq gallery memory-report plan check-plans bench-encoders bench-growth bench-data faults tables test lint format clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

venv: .venv/installed  ## create .venv and install the pinned requirements

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --requirement requirements.txt
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $@

demo: .venv/installed  ## train, resume, evaluate and profile in small, from nothing, in minutes
	$(BIN)/python launch/demo.py

nlq: .venv/installed  ## temporal grounding in small, from raw video to a score: runs/nlq
	$(BIN)/python launch/nlq.py

gallery: .venv/installed  ## what the demo's model keeps of a clip, and a search in its videos: runs/gallery
	$(BIN)/python launch/gallery.py

bench-encoders: .venv/installed  ## time and memory of dense and sparse training steps at the paper's size
	$(BIN)/python launch/bench_encoders.py

bench-growth: .venv/installed  ## the same against the length of the video, 4 to 64 frames, ten minutes
	$(BIN)/python launch/bench_encoders.py --frames 4 16 64 --rounds 1 --predicted-batch 0 \
		--variants dense_efficient sparse_1_3_56 sparse_1_3_56+recompute --output-dir runs/bench/growth

bench-data: .venv/installed  ## metadata, decoding and preparing at EgoClip's scale, beside EgoVLP's way
	$(BIN)/python launch/bench_data.py

faults: .venv/installed  ## kill, damage and fill up real runs, and see that they survive
	$(BIN)/python launch/faults.py --page docs/training.md

memory-report: .venv/installed  ## memory of the demo's step, dense and sparse, 4 and 8 frames: a page
	$(BIN)/python launch/compare_memory.py --recipe demo --frames 4 8 --micro-batch 4 --steps 1 --recompute none layers \
		--original --output-dir runs/memory-report

plan: .venv/installed  ## predict what the paper's recipes need on small GPUs: runs/plan/table.json
	$(BIN)/python launch/plan_small_gpus.py --output-dir runs/plan --page README.md --page docs/memory.md

check-plans: .venv/installed  ## hold predicted memory against real steps on this CPU
	$(BIN)/python launch/check_plans.py --output-dir runs/plan --page docs/memory.md

tables: .venv/installed  ## the paper's tables on EgoSynth; PRESET=smoke, fast or full (whose results go to docs/results)
	$(BIN)/python launch/tables.py --preset $(or $(PRESET),fast) $(if $(filter full,$(PRESET)),--results docs/results)

test: .venv/installed  ## run the tests
	$(BIN)/python -m pytest

lint: .venv/installed  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed  ## mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv, caches and what the demo made; your own data and runs stay
	rm -rf .venv data/egosynth-demo data/egosynth-nlq runs/demo runs/nlq runs/faults *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
