# defib. `make help` lists what can be made.

MODE    ?= release
O       ?= build
B       := $(O)/$(MODE)
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/.*DEFIB_VERSION "\(.*\)"/\1/p' common/version.h)

# ---- what there is ----

COMMON := clock config config_value err http_client key_file log loop memory name_patterns redis_link redis_url \
	resolver rpc settings settings_rules timestamp
PROTO  := alert command container_spec envelope heartbeat hold intent json_reader json_writer keys msgpack_walk registration restart_state text vocabulary
AGENT_CORE := change_rate command_gate container_beat container_entry container_table engine_json label_reader outcome_log \
	self_finder stop_cause stop_records
AGENT  := agent beat_maker cgroup_reader command_desk command_runner command_server engine_client event_stream \
	heartbeat_publisher outcome_file state_files
CONTROLLER_CORE := action_queue decider decider_attempt decider_budget decider_facts decider_hold decider_say decider_step gates liveness \
	policy wake_queue
CONTROLLER := agent_book agent_link alert_outbox controller disk_file fleet_loader heartbeat_consumer hold_watch \
	leader_epoch redis_session restart_entries restart_journal restart_store restart_watch \
	warning_limiter

PURE_MODULES := $(addprefix common/,name_patterns redis_url timestamp) $(addprefix proto/,$(PROTO)) \
	$(addprefix agent/core/,$(AGENT_CORE)) $(addprefix controller/core/,$(CONTROLLER_CORE))
MODULES := $(sort $(PURE_MODULES) $(addprefix common/,$(COMMON)) $(addprefix agent/,$(AGENT)) \
	$(addprefix controller/,$(CONTROLLER)))
MODULES := $(foreach m,$(MODULES),$(if $(wildcard $(m).c),$(m)))
PROGRAMS := $(foreach p,agent controller,$(if $(wildcard $(p)/main.c),defib-$(p)))
TEST_TOOLS := $(patsubst %.c,%,$(wildcard tests/tools/*.c))
BENCH_TOOLS := $(patsubst %.c,%,$(wildcard tests/bench/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
TESTS  ?= $(wildcard tests/integration/test_*.sh)
MAN_PAGES := $(patsubst packaging/man/%.in,$(B)/man/%,$(wildcard packaging/man/*.8.in))
UNITS  := $(wildcard packaging/systemd/*.service)

# ---- how it is built ----

MSGPACK := $(shell pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
HIREDIS_SSL := $(shell pkg-config --exists hiredis_ssl openssl && echo hiredis_ssl openssl)
PACKAGES := hiredis $(HIREDIS_SSL) libuv libcurl libcjson libcrypto $(MSGPACK)
CPPFLAGS := -I. -D_GNU_SOURCE $(if $(HIREDIS_SSL),-DDEFIB_HAVE_HIREDIS_SSL) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lnng -lpthread -lm
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wswitch-enum -Wconversion
ifneq ($(MODE)$(CI),release)
WARNINGS += -Werror
endif

FLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
LINK_release  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
FLAGS_debug   := -O0 -g3
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LINK_asan     := -fsanitize=address,undefined
FLAGS_tsan    := -O1 -g -fsanitize=thread
LINK_tsan     := -fsanitize=thread
FLAGS_cov     := -O0 -g --coverage
LINK_cov      := --coverage
ifeq ($(FLAGS_$(MODE)),)
$(error MODE=$(MODE) is none of release debug asan tsan cov)
endif
CFLAGS  ?=
ALL_CFLAGS = -std=gnu11 $(FLAGS_$(MODE)) $(WARNINGS) $(CFLAGS)

.PHONY: all programs lib unit checks format-check tidy compdb clean help
.PHONY: sim sim-long man docs docs-check deps deps-build integration bench check trixie demo install uninstall
all: programs

programs: $(addprefix $(B)/,$(PROGRAMS)) ## build the programs (MODE=release|debug|asan|tsan|cov) into build/
ifeq ($(MODE),release)
	@for program in $(PROGRAMS); do ln -sf release/$$program $(O)/$$program; done
endif

lib: $(B)/libdefib.a

$(B)/libdefib.a: $(MODULES:%=$(B)/%.o)
	@rm -f $@
	ar rcs $@ $^

$(B)/defib-%: $(B)/%/main.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ -lcmocka $(LDLIBS)

$(B)/tests/tools/%: $(B)/tests/tools/%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:

deps: ## install what is missing for building, testing and the demo (apt-get)
	@packaging/deps build test

deps-build: ## install what is missing for building only
	@packaging/deps build

unit: $(UNIT_TESTS:%=$(B)/tests/unit/%) ## build and run the unit tests
	@tests/run unit $^

integration: programs $(addprefix $(B)/,$(TEST_TOOLS)) ## run the integration tests (TESTS=… for some files; as root)
	@tests/run integration $(B) $(TESTS)

bench: ## measure against peers and limits, some 9 minutes; writes tests/bench/README.md (as root)
	@packaging/deps build test
	@$(MAKE) -s MODE=release programs $(addprefix $(O)/release/,$(BENCH_TOOLS))
	@BIN=$(O)/release tests/bench/run

SIM_MODULES := $(patsubst tests/sim/%.c,%,$(wildcard tests/sim/*.c))

$(B)/tests/sim/sim: $(SIM_MODULES:%=$(B)/tests/sim/%.o) $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

sim: $(B)/tests/sim/sim ## known incidents, seeded faults and mutations in a simulated fleet
	@tests/sim/run $(B)

sim-long: $(B)/tests/sim/sim ## the same for long: HOURS=10000000 container-hours from SEED=…
	@$< --seed $(or $(SEED),$(shell date +%s)) --total $(or $(HOURS),1000000) --hours 24 --table

check: ## everything a change must pass: builds, checks, unit and integration tests
	@O=$(O) tests/check

trixie: ## build and run the unit tests on Debian 13 (debootstrap, as root)
	@tests/trixie $(O)

demo: programs ## kill a container and watch it come back
	@packaging/demo/demo $(B)

man: $(MAN_PAGES) ## the man pages, with the settings as --help tells them

$(B)/man/%.8: packaging/man/%.8.in packaging/man/settings.sh $(B)/%
	@mkdir -p $(@D)
	@packaging/man/settings.sh roff $(B)/$* $< $(VERSION) > $@

SETTINGS_TABLE = packaging/man/settings.sh markdown $(B)/defib-agent $(B)/defib-controller

docs: programs ## write the table of settings into README.md
	@$(SETTINGS_TABLE) > $(B)/settings.md
	@sed -i -e '/^<!-- settings -->/,/^<!-- end of settings -->/{//!d}' -e '/^<!-- settings -->/r $(B)/settings.md' README.md

docs-check: programs man ## README.md's table is what the programs say; the man pages are well-formed
	@$(SETTINGS_TABLE) > $(B)/settings.md
	@sed -n '/^<!-- settings -->/,/^<!-- end of settings -->/{//!p}' README.md | diff - $(B)/settings.md || \
		{ echo 'README.md: the table of settings is not current: make docs'; exit 1; }
	@for page in $(MAN_PAGES); do mandoc -T lint -W warning $$page || exit 1; done

install: programs man ## install under PREFIX (/usr/local), staged by DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(PROGRAMS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(if $(MAN_PAGES),install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man8)
	$(if $(UNITS),install -m 644 $(UNITS) $(DESTDIR)$(PREFIX)/lib/systemd/system)

uninstall: ## remove what install installed
	rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(notdir $(MAN_PAGES))) \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(notdir $(UNITS)))

# ---- checks of the source ----

SOURCE_FOLDERS = $(wildcard agent common controller proto tests)
C_FILES = $(sort $(shell find $(SOURCE_FOLDERS) -name '*.c'))
H_FILES = $(sort $(shell find $(SOURCE_FOLDERS) -name '*.h'))

checks: $(B)/libdefib.a ## purity of the cores, names of symbols, includes
	@sh tests/checks/purity.sh $(B) $(PURE_MODULES)
	@sh tests/checks/naming.sh $(B) $(MODULES)
	@sh tests/checks/includes.sh

format-check: ## clang-format has nothing to change
	@clang-format --dry-run -Werror $(C_FILES) $(H_FILES)

tidy: ## clang-tidy finds nothing in the programs
	@printf '%s\0' $(filter-out tests/%,$(C_FILES)) | xargs -0 -n 1 -P 2 sh -c 'clang-tidy --quiet "$$0" -- $(CPPFLAGS) -std=gnu11 2>/dev/null'

compdb: ## write compile_commands.json for editors
	@{ joint='['; for file in $(C_FILES); do \
	  printf '%s\n  {"directory": "%s", "file": "%s", "command": "%s"}' "$$joint" "$(CURDIR)" "$$file" \
	    "$(CC) $(CPPFLAGS) -std=gnu11 $(WARNINGS) -c $$file"; joint=','; done; printf '\n]\n'; \
	} > compile_commands.json

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
