# make          set up .venv, answer 1(c), 2(a), 2(c), 2(d) from the shipped checkpoints, make the report
# make test     set up the same environment with the test tools and run the tests
# make report   make solutions.pdf from figures/
# make train    train everything anew (an hour), then answer
# make bench    the comparisons and further trainings behind the tables
# make clean    remove .venv and caches; figures, checkpoints and data stay

PYTHON ?= python3
BIN    := .venv/bin

.PHONY: answers drawn written report explorer test train trained digits curves roll drawn-anew bench help clean
.DEFAULT_GOAL := answers

answers: .venv/.answers-ready  ## set up, answer 1(c), 2(a), 2(c), 2(d) from the shipped checkpoints, make solutions.pdf
	$(MAKE) drawn
	$(MAKE) written
	@echo "As shipped, made anew by make train: checkpoints/, figures/ex_1b*, figures/ex_2b*, figures/ex_2_map.png, figures/ex_3*"

drawn:
	$(BIN)/python ex_1c.py 2023
	$(BIN)/python ex_1c.py --examples
	$(BIN)/python ex_2a.py
	$(BIN)/python ex_2c.py
	$(BIN)/python ex_2d.py

written:
	$(BIN)/python -m report.overview
	$(MAKE) report
	@echo "Written: solutions.pdf (the report), figures/overview.png, figures/ex_1c*, figures/ex_2a*, ex_2c*, ex_2d*"

report: .venv/.report-ready  ## make solutions.pdf from figures/
	$(BIN)/python -m report.build

explorer: .venv/.answers-ready  ## make explorer.html, the models in one web page
	$(BIN)/python -m explorer.build

test: .venv/.tests-ready  ## set up with the test tools, run lint and tests
	$(BIN)/python -m pytest -n auto --dist worksteal

train: .venv/.answers-ready  ## train every model anew, then answer
	$(MAKE) -j2 trained
	$(MAKE) written

# What needs what, so that two can run at a time, the longest chain first.  The digits take half of
# the cores, the small networks one: threads that share a core with others wait for each other.
ONE  := --threads 1
HALF := --threads $(shell $(PYTHON) -c 'import os; print(max(1, (os.cpu_count() or 1) // 2))')
ROLLS := roll-cd roll-mala roll-replica roll-pcd roll-nce roll-0.1 roll-0.01 roll-0.001
trained: digits curves roll drawn-anew
digits:
	$(BIN)/python -m common.digits.classifier $(HALF)
	$(BIN)/python ex_1b.py $(HALF)
curves:
	$(BIN)/python ex_2b.py $(ONE)
	$(BIN)/python ex_2b.py --prior standard $(ONE)
	$(BIN)/python -m common.light_curves --map $(ONE)
roll-0.%:
	$(BIN)/python ex_3a.py --method short-run --step-size 0.$* $(ONE)
roll-cd roll-mala roll-replica roll-pcd roll-nce: roll-%:
	$(BIN)/python ex_3a.py --method $* $(ONE)
roll: $(ROLLS)
	$(BIN)/python ex_3b.py $(ONE)
drawn-anew: digits curves
	$(MAKE) drawn

bench: .venv/.bench-ready  ## run the comparisons behind the tables
	$(BIN)/python -m benchmarks all
	$(BIN)/python -m benchmarks.seeds ex_2b
	$(BIN)/python -m benchmarks.curves
	$(BIN)/python -m benchmarks.judges
	$(BIN)/python -m benchmarks.simulator
	$(BIN)/python -m benchmarks.protocol

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

clean:  ## remove the environment and the caches
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis

# A stamp is newer than its requirements exactly when the environment holds them.
.venv/.answers-ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.report-ready: requirements-report.txt .venv/.answers-ready
	$(BIN)/python -m pip install --quiet -r requirements-report.txt
	@touch $@

.venv/.bench-ready: requirements-bench.txt .venv/.answers-ready
	$(BIN)/python -m pip install --quiet -r requirements-bench.txt
	@touch $@

.venv/.tests-ready: requirements-dev.txt requirements-report.txt requirements-bench.txt .venv/.answers-ready
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
