# Lazaretto: set-up, demonstration, tests. `make help` says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
LAZARETTO := $(BIN)/lazaretto
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq

# Debian packages, and why
define RUN_PACKAGES
python3-venv the gateway is written in Python
crun starts the outer container
uidmap gives a rootless outer container its ids
mmdebstrap builds the sandbox image
debian-archive-keyring checks what the image is built from
endef
define TEST_PACKAGES
podman the outer runtime of ordinary users, tested as well
runc another outer runtime, tested as well
docker.io another, tested as well; its engine is started for the tests alone
procps ends what runs under the account that the tests make
postfix the end-to-end tests put one before and one behind the gateway
systemd systemd-analyze verify reads our units
swaks a second SMTP client
libnet-ssleay-perl lets swaks speak TLS
openssl makes the certificates of the tests
poppler-utils a second reader of the PDFs that we write
libmime-tools-perl a MIME parser (of Perl) that must not find in our mail what was taken out
gir1.2-gmime-3.0 another (GMime)
python3-gi lets the system's Python call GMime
ruby-mail another (of Ruby)
$(if $(shell command -v npm),,nodejs runs three more)
$(if $(shell command -v npm),,npm installs them: Debian has none of them)
endef
export RUN_PACKAGES TEST_PACKAGES

.PHONY: help install image demo test check property parsers bench soak security clean
help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST)

# reads "name why" lines of $$list, installs what is missing, and says so
INSTALL_MISSING = missing=(); while read -r name why; do [ -n "$$name" ] || continue; \
	  dpkg-query -Wf '$${db:Status-Status}' "$$name" 2>/dev/null | grep -qx installed || { missing+=("$$name"); echo "install: $$name: $$why"; }; \
	done <<< "$$list"; \
	[ -z "$${missing[*]}" ] || \
	{ $(APT) update && $(APT) install -y --no-install-recommends "$${missing[@]}" >/dev/null; }

$(BIN)/pip:
	python3 -m venv $(VENV)

# stamps: pip is asked again only when the pinned list or the project file changed
$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: packages test-packages
packages:
	@list="$$RUN_PACKAGES"; $(INSTALL_MISSING)
test-packages:
	@list="$$TEST_PACKAGES"; $(INSTALL_MISSING)

# the MIME parsers of Node, pinned; no script of theirs runs. Without them their tests are skipped, and say so
PARSERS := tests/gateway/mail/parsers
build/parsers/.installed: $(PARSERS)/package.json $(PARSERS)/package-lock.json
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

parsers: test-packages ## the MIME parsers that the tests read our mail with
	@$(MAKE) --no-print-directory build/parsers/.installed || echo "parsers: npm could not install those of Node"

install: packages ## .venv/bin/lazaretto and the Debian packages that are missing
	@$(MAKE) --no-print-directory $(VENV)/.installed
	@echo "install: $$($(LAZARETTO) --version) in $(VENV)/bin/lazaretto"

image: install ## the sandbox image, built once from the Debian mirror that this host uses
	@$(LAZARETTO) image build

demo: image ## a real message with real attachments through the gateway, and what was delivered
	@$(BIN)/python -m tests.demo

test: image test-packages parsers ## everything, with the real double sandbox
	@$(MAKE) --no-print-directory $(VENV)/.installed-dev check
	$(BIN)/python -m pytest

check: ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

property: parsers $(VENV)/.installed-dev ## eight MIME parsers look in our mail for bytes of what was taken out, and the table of it
	@$(BIN)/python -m tests.gateway.mail.property

bench: image $(VENV)/.installed-dev ## the figures of the README
	@$(BIN)/python -m tests.bench

soak: image $(VENV)/.installed-dev ## 500 documents and 50 ends by kill -9, and what is left of them; the service's log in build/soak.log
	@mkdir -p build && $(BIN)/python -m tests.soak 2>build/soak.log

security: image test-packages $(VENV)/.installed-dev ## hostile programs on every runtime, lying answers, and the table of what stopped them
	@$(BIN)/python -m tests.security

clean: ## the virtual environment and caches; the image stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
