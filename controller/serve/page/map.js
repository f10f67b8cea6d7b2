
/* ---- drawing: only what changed ---- */

const view = { only: null, search: '', group: 'host', isLong: false };
const ROWS_SHORT = 12, ROWS_LONG = 200, TRIES_DRAWN = 10;

/* Makes `parent` hold exactly these elements in this order, and touches nothing where it already does. */
function place(parent, elements) {
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
  while (at !== null) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
}

/* A change moves and replaces elements, and the one with the focus must not lose it by that. */
function keepFocus(change) {
  const focused = document.activeElement;
  change();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/* Elements by key, redrawn when what they show changed. */
function keeper(create) {
  const kept = new Map();
  return {
    get(key, signature, ...rest) {
      let entry = kept.get(key);
      if (!entry) kept.set(key, entry = { element: create(key), signature: null });
      if (entry.signature !== signature) {
        entry.signature = signature;
        entry.element.redraw(...rest);
      }
      return entry.element;
    },
    keepOnly(keys) {
      for (const key of kept.keys()) if (!keys.has(key)) kept.delete(key);
    },
  };
}

const byRank = (a, b) => a.rank - b.rank || a.place - b.place;
const { compare } = new Intl.Collator('en', { numeric: true });

/* web-2 comes before web-10. Sorting so is slow: once for each set of names. */
const places = { names: '', of: new Map() };
function sortNames() {
  const names = [...fleet.rows.keys()];
  const joined = names.join('\n');
  if (places.names === joined) return;
  places.names = joined;
  places.of = new Map(names.sort(compare).map((name, i) => [name, i]));
  drawTimeline(); // whose names are buttons where they are known
}

function describe(row, now) {
  const state = stateOf(row);
  const next = nextOf(row, now);
  const words = `${row.state}|${row.status}|${row.host_lost}|${row.attempts}|${row.max_attempts}|${row.reason}|${row.cause}|${row.gate}|${row.host}|${row.service}|${row.docker.state}|${row.docker.exit_code}|${row.docker.stop_class}|${row.held_by_operator}|${row.name_collision}`;
  return { row, state, next, rank: state.rank, place: places.of.get(row.container), signature: `${words}|${next}` };
}

function isShown({ row, state }) {
  if (view.only && state.word !== view.only) return false;
  if (!view.search) return true;
  return [row.container, row.service, row.host].some((text) => text?.toLowerCase().includes(view.search));
}

/* ---- what needs attention ---- */

function tries(row, tone) {
  if (row.attempts === 0 && tone !== 'bad') return make('span', { className: 'tries' });
  const shown = Math.min(row.max_attempts, TRIES_DRAWN);
  const used = Math.min(row.attempts, shown);
  return make('span', { className: 'tries' },
    make('span', { className: 'dots', 'aria-hidden': 'true' }, '●'.repeat(used) + '○'.repeat(shown - used)),
    make('span', { className: 'hidden' }, 'attempts '), ` ${row.attempts}/${row.max_attempts}`);
}

const troubleRows = keeper((name) => {
  const item = make('li');
  const button = make('button', { className: 'name', type: 'button', onclick: () => openExplanation(name) }, name);
  item.redraw = ({ row, state, next }) => {
    item.dataset.tone = state.tone;
    item.replaceChildren(
      make('span', { className: 'state', 'data-glyph': state.glyph }, state.word),
      make('span', {},
        button,
        make('span', { className: 'where' }, [row.host ?? 'no host known', row.service].filter(Boolean).join(' · '))),
      make('span', { className: 'why' }, whyOf(row)),
      tries(row, state.tone),
      make('span', { className: 'next' }, ...(next ? [make('small', {}, next[0]), countdown(next[1])] : [])));
  };
  return item;
});

function drawTrouble(all) {
  const bad = all.filter(({ state }) => state !== STATES.UP).sort(byRank);
  const shown = bad.filter(isShown);
  const rows = shown.slice(0, view.isLong ? ROWS_LONG : ROWS_SHORT);
  place($('trouble'), rows.map((each) => troubleRows.get(each.row.container, each.signature, each)));
  troubleRows.keepOnly(new Set(rows.map(({ row }) => row.container)));
  const total = all.length;
  const note = bad.length === 0 ? (total ? `Nothing: ${total === 1 ? 'the one container is' : `all ${total} containers are`} up.` : 'No container is known yet.')
    : shown.length === 0 ? 'None of those that need attention match what is looked for.'
      : shown.length > ROWS_LONG && view.isLong ? `${shown.length - ROWS_LONG} more stand in the map below.` : '';
  setText($('trouble-note'), note);
  $('trouble-more').hidden = shown.length <= ROWS_SHORT;
  setText($('trouble-more'), view.isLong ? 'Show the worst alone' : `Show ${shown.length - ROWS_SHORT} more`);
  document.title = bad.some(({ state }) => state.tone === 'bad') ? `(${bad.filter(({ state }) => state.tone === 'bad').length}) defib` : 'defib';
}

/* ---- the counts, which filter ---- */

const countButtons = keeper((word) => {
  const button = make('button', { type: 'button', onclick: () => {
    view.only = view.only === word ? null : word;
    draw();
  } });
  button.redraw = (state, count) => {
    button.dataset.tone = state.tone;
    button.setAttribute('aria-pressed', String(view.only === word));
    button.replaceChildren(make('b', {}, String(count)), word);
  };
  return button;
});

function drawCounts(all) {
  const counts = new Map();
  for (const { state } of all) counts.set(state, (counts.get(state) ?? 0) + 1);
  const shown = Object.values(STATES).filter((state) => counts.has(state) || state === STATES.UP || state.word === view.only);
  place($('counts'), shown.map((state) => {
    const count = counts.get(state) ?? 0;
    return countButtons.get(state.word, `${count}|${view.only === state.word}`, state, count);
  }));
}

/* ---- the map ---- */

const tiles = keeper((name) => {
  const label = document.createTextNode(''), word = document.createTextNode('');
  const words = make('span', { className: 'hidden' }, word);
  const tile = make('button', { className: 'tile', type: 'button', tabIndex: -1, title: name, onclick: () => openExplanation(name) },
    make('span', { className: 'label' }, label), words);
  const item = make('li', {}, tile);
  item.redraw = ({ row, state, next }) => {
    tile.setAttribute('data-tone', state.tone);
    tile.setAttribute('data-glyph', state.glyph);
    const short = view.group === 'host' && name.startsWith(`${row.host}/`) ? name.slice(row.host.length + 1) : name;
    if (label.data !== short) label.data = short;
    word.data = `, ${state.word}`;
    while (tile.lastChild !== words) tile.lastChild.remove();
    if (row.attempts > 0 && state !== STATES.HELD) tile.append(make('span', { className: 'count' }, `${row.attempts}/${row.max_attempts}`));
    if (next && state.tone !== 'busy') tile.append(countdown(next[1]));
  };
  return item;
});

const groups = keeper(() => {
  const title = make('h3');
  const about = make('p', { className: 'about' });
  const more = make('button', { type: 'button', className: 'more' }, 'Hold…');
  const list = make('ul', { className: 'tiles' });
  const section = make('section', { className: 'group' }, make('div', {}, title, about, more), list);
  section.list = list;
  section.redraw = (name, host) => {
    const kind = view.group;
    setText(title, name || (kind === 'host' ? 'No host known' : 'No service'));
    more.hidden = !name;
    more.setAttribute('aria-label', `Hold ${kind} ${name}`);
    more.onclick = () => openChange('hold', [[kind, name]]);
    about.removeAttribute('data-tone');
    about.replaceChildren(...(host ? aboutHost(host) : []));
    if (host && (host.state !== 'LIVE' || !host.engine_up)) about.dataset.tone = 'bad';
    else if (host && host.breaker_open) about.dataset.tone = 'warn';
  };
  return section;
});

function aboutHost(host) {
  const path = (name, at) => (at ? [`${name} `, age(Date.parse(at)), ' ago'] : [`${name} never`]);
  const words = { LIVE: 'live', SILENT: 'silent: no command is sent there', LOST: 'lost: nothing of it is counted' };
  return [
    `${words[host.state] ?? host.state} · heard by `, ...path('Redis', host.heard_by_redis_at), ', ', ...path('agent', host.heard_by_rpc_at),
    host.engine_up ? '' : ' · its Docker Engine does not answer',
    host.breaker_open ? ' · breaker open' : '',
    host.restarts_in_flight > 0 ? ` · ${host.restarts_in_flight} restarting` : '',
  ].filter((part) => part !== '');
}

function groupRows(all) {
  const found = new Map();
  if (view.group === 'host' && !view.search && !view.only) for (const host of fleet.status.hosts) found.set(host.host, []);
  for (const each of all) {
    if (!isShown(each)) continue;
    const name = each.row[view.group] ?? '';
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(each);
  }
  const hosts = new Map(fleet.status.hosts.map((host) => [host.host, host]));
  const list = [...found].map(([name, rows]) => ({ name, rows: rows.sort(byRank), host: view.group === 'host' ? hosts.get(name) : undefined }));
  const rank = ({ rows, host }) => (host && host.state !== 'LIVE' ? -1 : rows[0]?.rank ?? 99);
  return list.sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name));
}

function drawMap(all) {
  const list = groupRows(all);
  place($('map'), list.map(({ name, rows, host }) => {
    const group = groups.get(`${view.group} ${name}`, `${JSON.stringify(host)}`, name, host);
    place(group.list, rows.map((each) => tiles.get(each.row.container, `${view.group}|${each.signature}`, each)));
    return group;
  }));
  groups.keepOnly(new Set(list.map(({ name }) => `${view.group} ${name}`)));
  tiles.keepOnly(fleet.rows);
  setText($('map-note'), list.length === 0 ? 'Nothing here matches what is looked for.' : '');
  const first = $('map').querySelector('.tile');
  if (first && !$('map').querySelector('.tile[tabindex="0"]')) first.tabIndex = 0;
}

/* One tile is reached by Tab, the others from there by the arrow keys. */
function moveInMap(event) {
  const list = [...$('map').getElementsByClassName('tile')];
  const at = list.indexOf(event.target);
  if (at < 0) return;
  const box = event.target.getBoundingClientRect();
  const column = (tile) => Math.abs(tile.getBoundingClientRect().left - box.left);
  const inNextRow = (candidates, isBeyond) => {
    const beyond = candidates.filter((tile) => isBeyond(tile.getBoundingClientRect().top));
    const top = beyond[0]?.getBoundingClientRect().top;
    return beyond.filter((tile) => tile.getBoundingClientRect().top === top).sort((a, b) => column(a) - column(b))[0];
  };
  const target = {
    ArrowRight: () => list[at + 1],
    ArrowLeft: () => list[at - 1],
    ArrowDown: () => inNextRow(list.slice(at + 1), (top) => top > box.top + 2),
    ArrowUp: () => inNextRow(list.slice(0, at).reverse(), (top) => top < box.top - 2),
    Home: () => list[0],
    End: () => list.at(-1),
  }[event.key]?.();
  if (!target) return;
  event.preventDefault();
  focusTile(target);
}

function focusTile(tile) {
  for (const old of $('map').querySelectorAll('.tile[tabindex="0"]')) old.tabIndex = -1;
  tile.tabIndex = 0;
  tile.focus();
}

/* ---- the controller, its paths, and what to be told first ---- */

const pill = (tone, text) => make('li', { className: 'pill', 'data-tone': tone }, text);

function drawPaths({ controller, redis, hosts, holds }) {
  const live = hosts.filter((host) => host.state === 'LIVE').length;
  const open = hosts.filter((host) => host.breaker_open).length;
  const pills = [
    pill(controller.leader ? 'ok' : 'warn', `${controller.leader ? 'leader' : 'standby'} ${controller.id}, epoch ${controller.epoch}`),
    pill(redis.up ? 'ok' : 'bad', redis.up ? 'Redis' : 'Redis away'),
    pill(live === hosts.length ? (live ? 'ok' : 'unknown') : 'bad', `${live} of ${hosts.length} agents`),
    pill(controller.breaker_open || open ? 'bad' : 'ok', controller.breaker_open ? 'breaker open' : open ? `breaker open on ${open}` : 'breaker closed'),
    pill(controller.restarts_in_flight ? 'busy' : 'unknown', `${controller.restarts_in_flight} of ${controller.restarts_max} restarts`),
  ];
  if (!controller.enabled) pills.push(pill('warn', 'restarts disabled'));
  if (holds.length) pills.push(pill('held', holds.length === 1 ? '1 hold' : `${holds.length} holds`));
  const signature = pills.map((each) => each.dataset.tone + each.textContent).join('|');
  if ($('paths').dataset.signature === signature) return;
  $('paths').dataset.signature = signature;
  $('paths').replaceChildren(...pills);
}

function bannersNow() {
  if (fleet.status === null) return isCut() && fleet.why ? [['bad', `The controller does not answer: ${fleet.why}. Trying again.`]] : [];
  const { controller, redis, hosts, holds } = fleet.status;
  const lost = hosts.filter((host) => host.state !== 'LIVE').map((host) => host.host);
  const forAll = holds.find((hold) => hold.kind === 'all');
  return [
    isCut() && ['bad', `Cut off: no word from the controller since ${clock(fleet.heardAt)}. What stands here is as it was then, and may be wrong now. Trying again.`],
    !controller.watching && ['warn', 'The controller is still loading: what stands here is not complete.'],
    !controller.leader && ['warn', `This controller is a standby: it watches, and ${controller.leader_id || 'another one'} acts.`],
    controller.leader && !controller.enabled && ['warn', 'Automatic restarts are disabled: it watches and alerts, and commands nothing.'],
    !redis.up && ['bad', `Redis is away${redis.since ? ` since ${clock(Date.parse(redis.since))}` : ''}: deaths are told by the agents, silence counts for nothing.`],
    controller.tilted && ['warn', 'The clock jumped or the controller stalled: it watches and does not act for a while.'],
    controller.watching && redis.up && !controller.tilted && !controller.settled && ['busy', 'The controller is settling: silence is not acted on yet.'],
    controller.breaker_open && ['bad', 'The breaker is open: too much failed at once. Running containers are left alone, the rest is tried one by one.'],
    lost.length > 0 && ['bad', `Not reached: ${lost.slice(0, 5).join(', ')}${lost.length > 5 ? ` and ${lost.length - 5} more` : ''}.`],
    forAll && ['held', `Everything is held${forAll.by ? ` by ${forAll.by}` : ''}${forAll.until ? ` until ${clock(Date.parse(forAll.until))}` : ' until it is released'}${forAll.reason ? `: ${forAll.reason}` : ''}.`],
  ].filter(Boolean);
}

function drawLink() {
  const isOff = isCut();
  document.body.classList.toggle('cut', isOff);
  $('link').dataset.tone = isOff ? 'bad' : 'ok';
  setText($('link'), !isOff ? 'live' : fleet.heardAt ? 'cut off' : 'connecting');
  const banners = bannersNow();
  const signature = JSON.stringify(banners);
  if ($('banners').dataset.signature === signature) return;
  $('banners').dataset.signature = signature;
  $('banners').replaceChildren(...banners.map(([tone, text]) => make('p', { 'data-tone': tone }, text)));
}

function drawHolds(holds) {
  $('holds-section').hidden = holds.length === 0;
  const signature = JSON.stringify(holds);
  if ($('holds').dataset.signature === signature) return;
  $('holds').dataset.signature = signature;
  $('holds').replaceChildren(...holds.map((hold) => {
    const what = hold.kind === 'all' ? 'everything' : `${hold.kind} ${hold.name}`;
    const end = hold.until ? [' · ends in ', countdown(Date.parse(hold.until))] : [' · until it is released'];
    return make('li', { 'data-tone': 'held' },
      make('span', {}, make('b', { className: 'state', 'data-glyph': '‖' }, what), hold.by ? ` by ${hold.by}` : '', hold.reason ? `: ${hold.reason}` : '', ...end),
      make('button', { type: 'button', 'aria-label': `Release ${what}`, onclick: () => openChange('release', [[hold.kind, hold.name]]) }, 'Release…'));
  }));
}

function draw() {
  const now = fleetNow();
  sortNames();
  const all = [...fleet.rows.values()].map((row) => describe(row, now));
  drawLink();
  drawPaths(fleet.status);
  drawHolds(fleet.status.holds);
  keepFocus(() => {
    drawCounts(all);
    drawTrouble(all);
    drawMap(all);
  });
  refreshExplanation();
  runTimes(document, now);
}
