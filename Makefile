# make demo and make test are all a new machine needs; both do the set-up first. `make help` lists the rest.
.DEFAULT_GOAL := help
python := .venv/bin/python
sampled := not bench and not programs and not distributions and not spark and not sweep
usual := "$(sampled) and not long"
# Two that wait for programs and one that computes keep two processors busy.
parallel := -n 3 --dist loadfile --no-loadscope-reorder
unit := tests/rsql_magic tests/jupyter_server_ext tests/test_*.py
.PHONY: help setup setup-check setup-test demo lab quick test test-all effects coverage check check-sidebar bench eval bench-hub programs spark distributions ha screenshots docs lock release

# Every program that the tests start would compile all that it imports anew: three times the time.
unexport PYTHONDONTWRITEBYTECODE

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## .venv/ with everything the demo needs (safe to repeat)
	@scripts/setup.sh demo

setup-check:
	@scripts/setup.sh check

setup-test:
	@scripts/setup.sh test

setup-spark:
	@scripts/setup.sh spark

demo: setup ## run notebooks/demo.ipynb against a real server and gateway, and write it as HTML
	@$(python) scripts/demo.py

lab: setup ## JupyterLab with the gateway on and the demo notebook open
	cd notebooks && ../.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) demo.ipynb

quick: setup-check ## the tests without programs (servers, browsers, kernels, R), simulations and generated cases
	$(python) -m pytest -q $(subst -n 3,-n 2,$(parallel)) -m quick $(unit) tests/contract

test: setup-test check check-sidebar ## unit, contract and end to end: what is quick, and the spine of what is not
	$(python) -m pytest $(parallel) --durations=40 --junitxml=build/tests.xml -m $(usual) \
	  --ignore tests/test_architecture.py tests/hub tests/e2e tests/ha tests/clients tests/contract $(unit) || $(python) scripts/test_report.py again build/tests.xml

test-all: setup-test check check-sidebar ## every test: also those that take long, and the full sweeps of generated cases
	$(python) -m pytest --timeout 0 --junitxml=build/tests.xml -m "not bench and not programs and not distributions and not spark"

effects: setup-test ## try what Do's lists call harmless with the installed packages, and which ordinary cells ask
	$(python) -W ignore tests/effects_entries.py --lists rsql_magic/agent/effects/lists
	$(python) -W ignore tests/effects_entries_r.py
	$(python) -W ignore tests/ordinary_cells.py

coverage: setup-test ## the lines of both packages that the tests run, programs that they start included: at least 95 %
	rm -rf build/coverage
	$(python) -m coverage run -m pytest -q $(parallel) -m "$(sampled)" tests
	$(python) -m coverage combine -q
	$(python) -m coverage report --fail-under=95

check: setup-check ## lint, types, architecture
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(python) -m pytest -q tests/test_architecture.py

check-sidebar: setup-test ## types and unit tests of JupyterLab's sidebar
	@npm --prefix labextension run --silent check
	@npm --prefix labextension run --silent test

bench: setup-test ## speed, as ratios measured side by side in one run
	$(python) -m pytest -m bench -s --timeout 0 tests/bench

eval: setup-test ## judge prompts by a real model: URL=http://127.0.0.1:22700 MODEL=qwen [TOKEN_FROM=VARIABLE] [SET=FOLDER] [LIMIT=100] [LOOK=always] [DRAFTS=3] [EXAMPLES=1]
	$(python) -m evaluation --url $(URL) --model $(MODEL) $(if $(TOKEN_FROM),--token-from $(TOKEN_FROM)) $(if $(SET),--set $(SET)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(LOOK),--look $(LOOK)) $(if $(DRAFTS),--drafts $(DRAFTS)) $(if $(EXAMPLES),--examples)

bench-hub: setup-test ## a class of 75 at a real JupyterHub, then as many users as there is room for; 12 minutes, or MINUTES=1
	$(python) tests/bench/bench_hub.py $(if $(MINUTES),--minutes $(MINUTES))

programs: setup-test ## openai, LangChain, chatlas, LiteLLM, jupyter-ai, llm and R with a hub token, each installed by itself
	$(python) -m pytest -m programs -s --timeout 0 tests/programs

spark: setup-spark ## %%sql_ai on a real Spark, a cluster of two workers and Spark Connect; installs Java and pyspark (520 MB)
	$(python) -m pytest -m spark --timeout 600 tests/spark

distributions: setup-test ## The Littlest JupyterHub and Zero to JupyterHub, from their repositories, with this gateway
	$(python) -m pytest -m distributions -s --timeout 0 tests/distributions

ha: setup-test ## three gateways behind HAProxy: one is killed, all are restarted, a key dies and the alert is told, Redis moves
	RSQL_HA_SECONDS=$${RSQL_HA_SECONDS:-10} $(python) -m pytest -s --timeout 0 tests/ha

screenshots: setup-test ## the pictures in docs/images, taken in a real JupyterLab
	@$(python) scripts/screenshots.py

docs: setup-check ## regenerate the tables in docs/ from the code, and build the site of docs/ with its gallery in build/site/
	$(python) scripts/docs.py
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict
	cd notebooks/gallery && ../../.venv/bin/rsql run *.ipynb -o ../../build/gallery --html ../../build/site/gallery --again
	@echo "python -m http.server --bind 127.0.0.1 --directory build/site 8000   shows it, with the search."

release: setup-check ## dist/: sdist and wheel of this version, checked, and tried out in an environment of their own
	@$(python) scripts/release.py

lock: ## resolve the newest versions into requirements.lock
	uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --all-extras --group dev \
	  --no-header -q -o requirements.lock --upgrade
	for part in requirements build; do uv pip compile deploy/docker/$$part.in -c requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q -o deploy/docker/$$part.txt; done
