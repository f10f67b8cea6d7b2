# defib. `make help` lists what can be made.

MODE    ?= release
O       ?= build
FAULTS  ?=
B       := $(O)/$(MODE)$(FAULTS:1=-faults)
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/.*DEFIB_VERSION "\(.*\)"/\1/p' common/version.h)

# ---- what there is ----

MODULES := $(sort $(filter-out %/main,$(basename $(wildcard common/*.c proto/*.c agent/*.c agent/*/*.c \
	controller/*.c controller/*/*.c))))
PURE_MODULES := $(filter proto/% agent/core/% controller/core/%,$(MODULES)) \
	$(addprefix common/,fingerprint latency name_patterns nearest redis_url timestamp)
PROGRAMS := defib-agent defib-controller defibctl defib-beat
# libdefib-beat, for programs that beat for themselves
BEAT := $(addprefix common/beat/,beat_document beat_link beat_resolve defib_beat)
BEAT_SONAME := libdefib-beat.so.0
BEAT_LIBRARIES := libdefib-beat.a $(BEAT_SONAME)
TEST_TOOLS := $(patsubst %.c,%,$(wildcard tests/tools/*.c))
BENCH_TOOLS := $(patsubst %.c,%,$(wildcard tests/bench/*.c))
# the long ones first, so that none of them is left over at the end
LONG_UNIT_TESTS := test_replay test_event_stream test_leader_lease test_alert test_heartbeat
UNIT_TESTS := $(LONG_UNIT_TESTS) $(filter-out $(LONG_UNIT_TESTS),$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c)))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
LONG_TESTS := $(patsubst %,tests/integration/test_%.sh,policy runbook enemy page once survival)
TESTS  ?= $(LONG_TESTS) $(filter-out $(LONG_TESTS),$(wildcard tests/integration/test_*.sh))
MAN_PAGES := $(patsubst packaging/man/%.in,$(B)/man/%,$(wildcard packaging/man/*.8.in))
COMMAND_PAGES := $(patsubst packaging/man/%.in,$(B)/man/%,$(wildcard packaging/man/*.1.in))
UNITS  := $(wildcard packaging/systemd/*.service)

# ---- how it is built ----

MSGPACK := $(shell pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
HIREDIS_SSL := $(shell pkg-config --exists hiredis_ssl openssl && echo hiredis_ssl openssl)
PACKAGES := hiredis $(HIREDIS_SSL) libuv libcurl libcjson libcrypto libmicrohttpd $(MSGPACK)
CPPFLAGS := -I. -D_GNU_SOURCE $(if $(FAULTS),-DDEFIB_FAULTS) $(if $(HIREDIS_SSL),-DDEFIB_HAVE_HIREDIS_SSL) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lnng -lpthread -lm
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wswitch-enum -Wconversion
ifeq ($(filter release fast,$(MODE)$(CI)),)
WARNINGS += -Werror
endif
ifeq ($(MODE),fast)
WARNINGS := -w
endif

CET := $(shell echo | $(CC) -fcf-protection -x c -c -o /dev/null - 2>/dev/null && echo -fcf-protection)
FLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection $(CET) -fPIE
LINK_release  := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
# for the simulator's long runs
FLAGS_fast    := -O3 -g -flto=auto -ffat-lto-objects -fno-pie
LINK_fast     := -O3 -flto=auto -no-pie -w
FLAGS_debug   := -O0 -g3
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LINK_asan     := -fsanitize=address,undefined
FLAGS_tsan    := -O1 -g -fsanitize=thread
LINK_tsan     := -fsanitize=thread
FLAGS_cov     := -O0 -g --coverage
LINK_cov      := --coverage
FLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LINK_fuzz     := -fsanitize=fuzzer,address,undefined
ifeq ($(FLAGS_$(MODE)),)
$(error MODE=$(MODE) is none of release fast debug asan tsan cov fuzz)
endif
CLANG ?= clang
CFLAGS  ?=
ALL_CFLAGS = -std=gnu11 $(FLAGS_$(MODE)) $(WARNINGS) $(CFLAGS)

# Every target with a line for `make help` is a deed, no file.
.PHONY: all lib fuzzers $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))
all: programs

programs: $(addprefix $(B)/,$(PROGRAMS)) ## build the programs (MODE=release|debug|asan|tsan|cov) into build/
ifeq ($(MODE)$(FAULTS),release)
	@for program in $(PROGRAMS); do ln -sf release/$$program $(O)/$$program; done
endif

lib: $(addprefix $(B)/,libdefib.a $(BEAT_LIBRARIES))

$(B)/libdefib.a: $(MODULES:%=$(B)/%.o)
	@rm -f $@
	ar rcs $@ $^

# Its objects are its own: position-independent, and nothing of ours can be seen in the program that links it.
BEAT_OBJECTS := $(patsubst %,$(B)/beat/%.o,$(BEAT) common/err common/redis_url common/thread common/timestamp proto/text)

$(B)/beat/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(B)/libdefib-beat.a: $(BEAT_OBJECTS)
	@rm -f $@
	$(LD) -r -o $(B)/beat/libdefib-beat.o $^
	objcopy --localize-hidden $(B)/beat/libdefib-beat.o
	ar rcs $@ $(B)/beat/libdefib-beat.o

$(B)/$(BEAT_SONAME): $(BEAT_OBJECTS)
	$(CC) $(filter-out -pie,$(LINK_$(MODE))) -shared -Wl,-soname,$(BEAT_SONAME) -o $@ $^ -pthread

$(B)/defib-beat: $(B)/common/beat/main.o $(B)/libdefib-beat.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ -pthread -lm

$(B)/tests/unit/test_defib_beat: $(B)/libdefib-beat.a

$(B)/defib-%: $(B)/%/main.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/defibctl: $(B)/controller/ctl/main.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/controller/serve/documents.o: controller/serve/openapi.json
$(B)/controller/serve/page.o: $(wildcard controller/serve/page/*)

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ -lcmocka $(LDLIBS)

$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/tests/tools/%: $(B)/tests/tools/%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:

deps: ## install what is missing for building, testing and the demo (apt-get; for browser tests npm, and a PostgreSQL, into build/)
	@packaging/deps build test
	@tests/browser/install $(O)/browser
	@tests/postgres $(O)/postgres > /dev/null

deps-build: ## install what is missing for building only
	@packaging/deps build

unit: $(UNIT_TESTS:%=$(B)/tests/unit/%) $(FUZZERS:%=$(B)/tests/fuzz/replay_%) ## build and run the unit tests
	@tests/run unit $^

faults: ## the programs with points at which tests let them die, in build/release-faults (MODE=…)
	@$(MAKE) -s MODE=$(MODE) FAULTS=1 programs

integration: programs faults $(addprefix $(B)/,$(TEST_TOOLS) tests/bench/beat_load tests/chaos/own_clock.so) ## run the integration tests (TESTS=… for some files; as root)
	@tests/run integration $(B) $(TESTS)

# No bad access, nothing uninitialised, no leak.
VALGRIND := valgrind -q --suppressions=$(CURDIR)/tests/valgrind.supp --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite --fair-sched=yes
SLOW_UNDER_VALGRIND := $(if $(FAST),$(LONG_UNIT_TESTS) test_command_runner test_engine_json test_decider test_redis_link test_command test_registration)
VALGRIND_TESTS := $(patsubst %,tests/integration/test_%.sh,commands controller)

valgrind: $(patsubst %,$(B)/tests/unit/%,$(filter-out $(SLOW_UNDER_VALGRIND),$(UNIT_TESTS))) ## the unit tests under valgrind (FAST=1: without those that take minutes)
	@UNIT_WRAPPER='$(VALGRIND)' tests/run unit $^

$(O)/valgrind/%: $(B)/%
	@mkdir -p $(@D)/tests
	@ln -sfn $(abspath $(B))/tests/tools $(@D)/tests/tools
	@printf '#!/bin/sh\nexec $(VALGRIND) %s "$$@"\n' $(abspath $<) > $@
	@chmod +x $@

valgrind-integration: $(addprefix $(O)/valgrind/,$(PROGRAMS)) $(addprefix $(B)/,$(TEST_TOOLS)) ## agent and controller under valgrind on a real Engine and Redis (as root)
	@WAIT_FACTOR=5 MEMORY_FACTOR=9 tests/run integration $(O)/valgrind $(VALGRIND_TESTS)

sanitizers: ## what takes too long for CI: all integration tests under ASan, the two above under TSan and valgrind, all unit tests under valgrind (as root)
	@$(MAKE) -s MODE=asan integration WAIT_FACTOR=5 MEMORY_FACTOR=9
	@$(MAKE) -s MODE=tsan integration TESTS='$(VALGRIND_TESTS)' WAIT_FACTOR=5 MEMORY_FACTOR=9
	@$(MAKE) -s valgrind-integration
	@$(MAKE) -s valgrind

fuzzers: $(FUZZERS:%=$(B)/tests/fuzz/fuzz_%)

fuzz: ## fuzz every decoder for SECS (120) seconds, JOBS (2) at a time; FUZZ='command answer': only these (clang)
	@$(MAKE) -s MODE=fuzz CC='$(CLANG)' fuzzers
	@tests/fuzz/run $(O)/fuzz $(or $(SECS),120) $(or $(FUZZ),$(FUZZERS))

bench: ## measure against peers and limits, some 9 minutes; writes tests/bench/README.md (as root)
	@packaging/deps build test
	@$(MAKE) -s MODE=release programs $(addprefix $(O)/release/,$(BENCH_TOOLS))
	@BIN=$(O)/release tests/bench/run

bench-api: ## what /metrics and status cost with 10,000 containers, and the tick under 200 requests a second
	@$(MAKE) -s MODE=release programs $(O)/release/tests/bench/beat_load
	@BIN=$(O)/release tests/bench/api

bench-guard: ## an agent flooded with bad messages while it restarts, and what signing costs; writes tests/bench/README.md (as root)
	@packaging/deps build test
	@$(MAKE) -s MODE=release programs $(addprefix $(O)/release/,$(BENCH_TOOLS) $(TEST_TOOLS))
	@BIN=$(O)/release tests/bench/guard

bench-page: ## the page with 500 containers in Chromium; writes tests/bench/README.md (as root)
	@$(MAKE) -s deps
	@$(MAKE) -s MODE=release programs $(O)/release/tests/bench/beat_load
	@BIN=$(O)/release tests/bench/page

SIM_MODULES := $(patsubst tests/sim/%.c,%,$(wildcard tests/sim/*.c tests/sim/peers/*.c))

$(B)/tests/sim/sim: $(SIM_MODULES:%=$(B)/tests/sim/%.o) $(B)/libdefib.a
	$(CC) $(LINK_$(MODE)) -o $@ $^ $(LDLIBS)

RUN_SIM = tests/sim/run $(B) "$(LINK_$(MODE)) $(LDLIBS)" "$(CPPFLAGS)"

sim-check: $(B)/tests/sim/sim ## a simulated fleet: known incidents, seeded faults, every mutation, under two minutes
	@$(RUN_SIM) check

fleet: programs ## a fleet to look at and to break: HOSTS=3 CONTROLLERS=2 REDIS=1|3 CONTAINERS=3 (as root)
	@BIN=$(B) tests/fleet/fleet up $(or $(HOSTS),3) $(or $(CONTROLLERS),2) $(or $(REDIS),1) $(or $(CONTAINERS),3)

$(B)/tests/chaos/own_clock.so: tests/chaos/own_clock.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE -fsanitize=%,$(ALL_CFLAGS)) -fPIC -shared -o $@ $<

chaos: programs $(B)/tests/chaos/own_clock.so ## every fault on a real fleet, with a crash before, during and after it, some 30 minutes; writes tests/chaos/README.md (as root)
	@packaging/deps build test
	@tests/chaos/newer_engine build/newer-engine
	@BIN=$(B) tests/chaos/run

soak: ## two hours' worth of churn under ASan in MINUTES (6): memory and descriptors stay flat; writes tests/chaos/README.md (as root)
	@packaging/deps build test
	@$(MAKE) -s MODE=asan programs
	@BIN=$(O)/asan tests/chaos/soak $(or $(MINUTES),6)

measure: programs $(addprefix $(B)/tests/bench/,beat_load fleet_answers) ## failovers, lost hosts, outages of Redis, some 20 minutes; writes tests/chaos/README.md (as root)
	@packaging/deps build test
	@BIN=$(B) tests/chaos/measure

fleet-down: ## end it
	@tests/fleet/fleet down

sim: $(B)/tests/sim/sim ## the same and much more; writes the tables of tests/sim/README.md
	@$(RUN_SIM) all

sim-long: ## a night of it, built by MODE=fast: HOURS=10000000 container-hours from SEED=…; writes the figures there
	@$(MAKE) -s MODE=fast $(O)/fast/tests/sim/sim
	@$(MAKE) -s MODE=fast sim-long-run

.PHONY: sim-long-run
sim-long-run:
	@SEED=$(or $(SEED),$(shell date +%s)) HOURS=$(or $(HOURS),10000000) $(RUN_SIM) long

cov: ## branch coverage of the cores by unit tests and simulator; fails below 95 %
	@packaging/deps build unit cov
	@$(MAKE) -s MODE=cov unit $(O)/cov/tests/sim/sim
	@tests/cov $(O)/cov

check: ## everything a change must pass: builds, checks, unit and integration tests
	@O=$(O) tests/check

test-certs: ## a CA and certificates for trials, in build/certs (HOSTS='10.0.0.11 h2': what agents are dialled by)
	@tests/tools/make_certs $(O)/certs $(or $(HOSTS),localhost)

trixie: ## build and run the unit tests on Debian 13 (debootstrap, as root)
	@tests/trixie $(O)

demo: ## install what is missing, build, kill a container and watch it come back
	@packaging/deps build demo
	@$(MAKE) -s programs
	@packaging/demo/demo $(B)

demo-arbees: ## the same for the runbook's fleet: a slow starter, one that hangs, a silent one, a database (as root)
	@packaging/deps build demo
	@$(MAKE) -s programs
	@packaging/demo/demo-arbees $(B)

man: $(MAN_PAGES) $(COMMAND_PAGES) ## the man pages, with the settings as --help tells them

$(B)/man/%.8: packaging/man/%.8.in packaging/man/settings.sh $(B)/%
	@mkdir -p $(@D)
	@packaging/man/settings.sh roff $(B)/$* $< $(VERSION) > $@

$(B)/man/%.1: packaging/man/%.1.in
	@mkdir -p $(@D)
	@sed 's/@VERSION@/$(VERSION)/' $< > $@

SETTINGS_TABLE = packaging/man/settings.sh markdown $(B)/defib-agent $(B)/defib-controller $(B)/defibctl

docs: programs ## write the table of settings into README.md
	@$(SETTINGS_TABLE) > $(B)/settings.md
	@sed -i -e '/^<!-- settings -->/,/^<!-- end of settings -->/{//!d}' -e '/^<!-- settings -->/r $(B)/settings.md' README.md

docs-check: programs man ## README.md's table is what the programs say; the man pages are well-formed
	@$(SETTINGS_TABLE) > $(B)/settings.md
	@sed -n '/^<!-- settings -->/,/^<!-- end of settings -->/{//!p}' README.md | diff - $(B)/settings.md || \
		{ echo 'README.md: the table of settings is not current: make docs'; exit 1; }
	@for page in $(MAN_PAGES) $(COMMAND_PAGES); do mandoc -T lint -W warning $$page || exit 1; done

install: programs lib man ## install under PREFIX (/usr/local), staged by DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(PROGRAMS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(if $(MAN_PAGES),install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man8)
	$(if $(UNITS),install -m 644 $(UNITS) $(DESTDIR)$(PREFIX)/lib/systemd/system)
	install -D -m 644 packaging/completion/defibctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/defibctl
	install -D -m 644 packaging/completion/_defibctl $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_defibctl
	install -D -m 644 packaging/systemd/defib.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/defib.conf
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,include lib/pkgconfig share/man/man1)
	install -m 644 $(COMMAND_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 common/beat/defib_beat.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BEAT_LIBRARIES:%=$(B)/%) $(DESTDIR)$(PREFIX)/lib
	ln -sf $(BEAT_SONAME) $(DESTDIR)$(PREFIX)/lib/libdefib-beat.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' packaging/defib-beat.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/defib-beat.pc

image: programs ## the Docker image defib with the programs, without root in it (DOCKER=docker, IMAGE=defib)
	@packaging/docker/make-image.sh $(or $(IMAGE),defib) --user defib $(PROGRAMS:%=$(B)/%)

uninstall: ## remove what install installed
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/defib.conf
	rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(notdir $(MAN_PAGES))) \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(notdir $(UNITS))) \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/defibctl \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_defibctl \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(notdir $(COMMAND_PAGES))) \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/,$(BEAT_LIBRARIES) libdefib-beat.so pkgconfig/defib-beat.pc) \
		$(DESTDIR)$(PREFIX)/include/defib_beat.h

# ---- checks of the source ----

SOURCE_FOLDERS = $(wildcard agent common controller proto tests)
C_FILES = $(sort $(shell find $(SOURCE_FOLDERS) -name '*.c'))
H_FILES = $(sort $(shell find $(SOURCE_FOLDERS) -name '*.h'))

checks: lib ## purity of the cores, names of symbols, includes
	@sh tests/checks/purity.sh $(B) $(PURE_MODULES)
	@sh tests/checks/naming.sh $(B) $(MODULES)
	@sh tests/checks/naming.sh $(B)/beat $(BEAT)
	@sh tests/checks/includes.sh

hardening: programs $(B)/$(BEAT_SONAME) ## the programs are built as a release promises (MODE=release)
	@sh tests/checks/hardening.sh $(PROGRAMS:%=$(B)/%) $(B)/$(BEAT_SONAME)

analyze: ## gcc -fanalyzer finds nothing new
	@sh tests/checks/analyzer.sh gcc $(CPPFLAGS) -std=gnu11

cppcheck: ## cppcheck finds nothing; uninitvar is left to gcc, clang-tidy and valgrind: it does not see through HASH_ITER
	@cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 -j2 $(filter -I% -D%,$(CPPFLAGS)) \
		--suppress=uninitvar --suppress=internalAstError --suppress=missingIncludeSystem --suppress='*:/usr/include/*' \
		--template='{file}:{line}: {id}: {message}' $(filter-out tests/%,$(SOURCE_FOLDERS))

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
