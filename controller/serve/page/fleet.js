
/* ---- what is known, and how it comes ---- */

const REFRESH_MS = 5000, POLL_MS = 2000, STALE_MS = 3500, CUT_MS = 8000, FETCH_MS = 5000, HOUR_MS = 3600000, EVENTS_KEPT = 1000;

const fleet = {
  rows: new Map(), // by container
  status: null,
  events: [], // newest first
  fresh: [], // and those that are still to be merged
  eventsSeen: 0,
  areEventsCut: false,
  heardAt: 0, // on our clock
  ahead: null, // the controller's clock minus ours
  why: '', // it is not heard
};

const fleetNow = () => Date.now() + (fleet.ahead ?? 0);
const isCut = () => Date.now() - fleet.heardAt > STALE_MS;

/* Times come in whole seconds, rounded down: the largest difference is the truest. A clock that was set is followed. */
function heard(timestamp) {
  fleet.heardAt = Date.now();
  fleet.why = '';
  const ahead = Date.parse(timestamp) - Date.now();
  if (!Number.isFinite(ahead)) return;
  if (fleet.ahead === null || ahead > fleet.ahead || fleet.ahead - ahead > 1500) fleet.ahead = ahead;
}

async function api(path, options = {}) {
  const response = await fetch(`api/v1/${path}`, { signal: AbortSignal.timeout(FETCH_MS), cache: 'no-store', ...options });
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    throw Object.assign(new Error(body?.error?.message ?? `the controller answers ${response.status}`), { status: response.status, code: body?.error?.code });
  }
  return body;
}

/* ---- asking ---- */

const asking = { isBusy: false, isAll: true, names: new Set(), timer: 0, at: 0 };

function ask(delay) {
  const at = Date.now() + delay;
  if (asking.timer && asking.at <= at) return;
  clearTimeout(asking.timer);
  asking.at = at;
  asking.timer = setTimeout(askNow, delay);
}

function askAll(delay) {
  asking.isAll = true;
  ask(delay);
}

async function askNow() {
  asking.timer = 0;
  if (asking.isBusy) return ask(50);
  const names = [...asking.names];
  const isAll = asking.isAll || names.length > 8;
  asking.isBusy = true;
  asking.isAll = false;
  asking.names.clear();
  try {
    await (isAll ? loadAll() : loadSome(names));
  } catch (error) {
    fleet.why = error.message;
  }
  asking.isBusy = false;
  if (asking.names.size > 0 || asking.isAll) ask(0);
}

async function loadAll() {
  const [status, list] = await Promise.all([api('status'), api('containers')]);
  const isNewer = fleet.status !== null && fleet.status.controller.version !== status.controller.version;
  if (isNewer && !document.querySelector('dialog[open]')) location.reload();
  heard(status.timestamp);
  fleet.status = status;
  fleet.rows = new Map(list.containers.map((row) => [row.container, row]));
  draw();
}

async function loadSome(names) {
  const [status, ...answers] = await Promise.all([
    api('status'),
    ...names.map((name) => api(`containers/${encodeURIComponent(name)}`).catch((error) => {
      if (error.status !== 404) throw error;
      return null;
    })),
  ]);
  heard(status.timestamp);
  fleet.status = status;
  answers.forEach((answer, i) => (answer ? fleet.rows.set(names[i], answer.container) : fleet.rows.delete(names[i])));
  draw();
}

/* ---- the last hour ---- */

const eventKey = (event) => [event.timestamp, event.seq, event.kind, event.type, event.container, event.host, event.action, event.detail].join('\n');

/* The newest first, as the API has them. */
function addEvents(events) {
  fleet.fresh.push(...events.toReversed());
  drawTimeline();
}

/* Some of it came twice, from the stream and with the last hour. Times are whole seconds: within one, as they came. */
function mergeEvents() {
  const since = fleetNow() - HOUR_MS;
  const known = new Set(fleet.events.map((event) => event.key));
  for (const event of fleet.fresh.splice(0)) {
    event.key = eventKey(event);
    if (known.has(event.key)) continue;
    known.add(event.key);
    event.told = tellEvent(event);
    event.at = Date.parse(event.timestamp) || 0;
    event.order = ++fleet.eventsSeen;
    fleet.events.push(event);
  }
  fleet.events = fleet.events.filter((event) => event.at > since).sort((a, b) => b.at - a.at || b.order - a.order).slice(0, EVENTS_KEPT);
}

async function loadEvents() {
  try {
    const answer = await api('events');
    fleet.areEventsCut = answer.cut;
    addEvents(answer.events);
  } catch {
    setTimeout(loadEvents, REFRESH_MS);
  }
}

/* ---- listening ---- */

let stream = null, streamTriedAt = 0, lastTotals = '';

function listen() {
  stream?.close();
  streamTriedAt = Date.now();
  stream = new EventSource('api/v1/stream');
  stream.onopen = () => {
    askAll(0);
    loadEvents();
  };
  stream.onerror = () => {
    stream.close();
    stream = null;
  };
  stream.addEventListener('tick', (message) => {
    const { timestamp, ...totals } = JSON.parse(message.data);
    heard(timestamp);
    const text = JSON.stringify(totals);
    if (text !== lastTotals) askAll(300);
    lastTotals = text;
  });
  stream.addEventListener('record', onEvent);
  stream.addEventListener('alert', onEvent);
}

/* A document that all askers share is up to 250 ms old; one container's is not. */
function onEvent(message) {
  const event = JSON.parse(message.data);
  addEvents([event]);
  announce(event);
  if (event.container) asking.names.add(event.container);
  else asking.isAll = true;
  ask(asking.isAll || asking.names.size > 8 ? 300 : 40);
}

/* Once a second. Whatever broke is tried again for ever; without the stream it is asked more often. */
let lastAskedAt = 0;
function watch() {
  const now = Date.now();
  const pause = stream?.readyState === EventSource.OPEN ? REFRESH_MS : POLL_MS;
  if (stream === null ? now - streamTriedAt > 1500 : now - Math.max(fleet.heardAt, streamTriedAt) > CUT_MS) listen();
  if (!document.hidden && now - lastAskedAt > pause) {
    lastAskedAt = now;
    askAll(0);
  }
}
