# One verb per need. `make help` lists them.
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: help demo test check fix bench docs wheel clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP)  ## the main job end to end: build, up, image, run, ps, exec, logs, down
	@sh docs/demo.sh

test: $(STAMP)  ## all tests; as root on Debian it first installs what they need
	@sh .ci/host-packages
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(STAMP)  ## format, lint, types
	$(BIN)/ruff format --check assembler components tests bench docs
	$(BIN)/ruff check assembler components tests bench docs
	$(BIN)/mypy

fix: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix assembler components tests bench docs
	$(BIN)/ruff format assembler components tests bench docs

bench: $(STAMP)  ## measure beside real peers in one run, print ratios
	@sh .ci/host-packages
	$(BIN)/python -m bench $(ARGS)

docs: $(STAMP)  ## write the generated pages again
	$(BIN)/python -m docs.generate

wheel: $(STAMP)  ## the wheel, into dist/
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

clean:  ## remove what make made
	rm -rf $(VENV) dist out .demo

$(STAMP): pyproject.toml
	@sh .ci/venv $(VENV)
	@touch $@
