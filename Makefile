.PHONY: demo demo-kernel test lint lock bench docs fuzz mutate
environment = @python3 scripts/environment.py

demo:  ## the whole story on this machine; ONCE=1 runs it once and exits
	$(environment) demo
	@.venv/bin/python -m demo.run $(if $(ONCE),--once)
demo-kernel:  ## an agent against its own kernel; root, cgroup2, QEMU; ONCE=1 runs it once and exits
	$(environment) test
	@.venv/bin/python -m demo.kernel.run $(if $(ONCE),--once)
lint:
	$(environment) test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python scripts/generate.py --check
test: lint  ## LONG=1 searches longer
	HYPOTHESIS_PROFILE=$(if $(LONG),long,ci) .venv/bin/python -m pytest -n $$((2 * $$(nproc))) --dist loadfile
docs:  ## schemas and references that are generated from the code
	$(environment) test
	.venv/bin/python scripts/generate.py
lock:  ## requirements/*.txt from pyproject.toml; UPGRADE=1 moves the pins
	$(environment) test
	scripts/lock
bench:
	$(environment) bench
	.venv/bin/python -m bench.run
fuzz:  ## SECONDS=3600; needs pip install atheris in .venv
	.venv/bin/python -m tests.differential.fuzz $(or $(SECONDS),60)
mutate:  ## ONLY='gateway.core.scope*'; needs pip install mutmut==3.8.1 in .venv; writes docs/MUTATION.md
	HYPOTHESIS_PROFILE=mutation .venv/bin/python -m mutmut run $(ONLY)
	.venv/bin/python scripts/mutation.py
