# The front door. `make help` lists what there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# These reach a recipe through the environment only, letter for letter: neither make nor a shell ever expands them.
override ID := $(value ID)
export ID
override DESTDIR := $(value DESTDIR)
export DESTDIR

setup := iso/builder/setup-builder.sh
bin := .venv/bin

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

.PHONY: iso
iso: ## build dist/bee-<version>-<suite>-amd64.iso (settings: make iso ARGS='nvidia=none')
	@test -x /usr/bin/python3 || $(setup) python
	@/usr/bin/python3 -m iso.preflight iso
	@$(setup) iso
	@$(bin)/doit iso $(ARGS)

.PHONY: test
test: ## set up and run the tests
	@$(setup) test
	@$(bin)/pytest -m 'not acceptance and not acceptance_full' $(ARGS)

.PHONY: acceptance
acceptance: ## build the ISO, boot it, audit it; boot real nodes, prepare, harden and verify them
	@test -x /usr/bin/python3 || $(setup) python
	@/usr/bin/python3 -m iso.preflight acceptance
	@$(setup) iso test acceptance
	@$(bin)/pytest -m acceptance $(ARGS)

.PHONY: torture
torture: ## the long proofs, from where they were stopped (settings: make torture ARGS='--only fuzz --seconds 60')
	@$(setup) test torture
	@$(bin)/python -m tests.torture $(ARGS)

.PHONY: acceptance-full
acceptance-full: ## the same with every way to boot: firmwares, media, menu entries, networks, releases
	@test -x /usr/bin/python3 || $(setup) python
	@/usr/bin/python3 -m iso.preflight acceptance
	@$(setup) iso test acceptance
	@$(bin)/pytest -m 'acceptance or acceptance_full' $(ARGS)

.PHONY: bench
bench: ## bee beside lshw and inxi, as ratios (settings: make bench ARGS='--runs 15 peers')
	@$(setup) bench
	@$(bin)/python -m benchmarks $(ARGS)

.PHONY: bench-iso
bench-iso: ## the ISO's build beside plain live-build, a piece at a time (settings: make bench-iso ARGS='plain dev overlay')
	@$(setup) iso
	@$(bin)/python -m benchmarks.iso $(ARGS)

.PHONY: bench-nodes
bench-nodes: ## busnode beside bare ssh, pyinfra and ansible-core, as ratios (settings: make bench-nodes ARGS='--runs 9 status')
	@$(setup) test acceptance
	@$(bin)/python -m benchmarks.nodes $(ARGS)

.PHONY: bench-events
bench-events: ## event mode beside direct mode, and what the services need (settings: make bench-events ARGS='--runs 200 overhead')
	@$(setup) test
	@$(bin)/python -m benchmarks.events $(ARGS)

.PHONY: audit
audit: ## this machine's hardware, as a table
	@$(setup) python
	@$(bin)/bee audit --output - | $(bin)/bee report -

.PHONY: install-services
install-services: ## programs, units and accounts of the services, into this system (settings: DESTDIR=/path/to/root)
	@test -n "$$DESTDIR" || $(setup) services
	@/usr/bin/python3 -m busnode.services.installation --destdir "$${DESTDIR:-/}"

.PHONY: node-bootstrap node-status node-harden node-verify
node-bootstrap: ## prepare the node ID=<id> of BUS_NODE_TARGETS_FILE
node-status: ## what the node ID=<id> is and runs
node-harden: ## sshd and firewall policy of the node ID=<id>
node-verify: ## check listeners and services of the node ID=<id>
node-bootstrap node-status node-harden node-verify:
	@test -n "$$ID" || { echo "say which node: make $@ ID=proxy" >&2; exit 2; }
	@$(setup) python
	@$(bin)/bus operator node $(@:node-%=%) --id="$$ID"

.PHONY: lock
lock: ## choose the Python dependencies' versions again (needs uv)
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra iso --extra dev --extra services pyproject.toml -o requirements.lock
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra torture --constraint requirements.lock pyproject.toml -o requirements-torture.lock
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra acceptance --constraint requirements.lock pyproject.toml -o requirements-acceptance.lock
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra bench pyproject.toml -o requirements-peers.lock
