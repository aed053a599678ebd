# make          set up .venv, answer 1(c), 2(a), 2(c), 2(d) from the shipped models -> out/
# make test     set up the same environment with the test tools and run the tests
# make train    train every model anew (hours on 2 cores) -> out/
# make publish  copy what out/ holds over the shipped checkpoints/ and figures/
# make clean    remove .venv and caches; data/ and out/ stay

PYTHON ?= python3
BIN    := .venv/bin

.PHONY: answers test train publish help clean
.DEFAULT_GOAL := answers

answers: .venv/.answers-ready  ## set up, answer 1(c), 2(a), 2(c), 2(d) from the shipped models -> out/
	$(BIN)/python ex_1c.py 2023 --labels 0 1 2 3 4 5 6 7 8 9
	test -e data/labels.dat || $(BIN)/python -m common.light_curves
	$(BIN)/python ex_2a.py
	$(BIN)/python ex_2c.py
	$(BIN)/python ex_2d.py
	@echo "Written: out/.  Next: source .venv/bin/activate, then python ex_1c.py 42"

test: .venv/.tests-ready  ## set up with the test tools, run lint and tests
	$(BIN)/python -m pytest -n auto --dist worksteal

train: .venv/.answers-ready  ## train every model anew -> out/
	$(BIN)/python -m common.digits.classifier
	$(BIN)/python ex_1b.py
	$(BIN)/python ex_1b.py --plain
	$(BIN)/python ex_2b.py
	$(BIN)/python ex_2b.py --plain
	for method in cd mala replica nce; do $(BIN)/python ex_3a.py --method $$method || exit; done
	for eps in 0.1 0.01 0.001; do $(BIN)/python ex_3a.py --method short-run --eps $$eps || exit; done
	$(BIN)/python ex_3b.py

publish: .venv/.answers-ready  ## copy what out/ holds over the shipped files
	$(BIN)/python -m studies.publish

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

.venv/.tests-ready: requirements-dev.txt .venv/.answers-ready
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
