'use strict';

/* ---- small tools ---- */

const $ = (id) => document.getElementById(id);

/* An element with properties, and children that are elements or text: never markup. */
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.includes('-') || name === 'role' || name === 'type') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== ''));
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* ---- words for states ---- */

/* Worst first. tone: the colour; the glyph says the same without it. */
const STATES = {
  FAILED: { rank: 0, tone: 'bad', glyph: '✕', word: 'failed' },
  COOLDOWN: { rank: 1, tone: 'bad', glyph: '◔', word: 'cooldown' },
  LOST: { rank: 2, tone: 'unknown', glyph: '?', word: 'host lost' },
  DOWN: { rank: 3, tone: 'bad', glyph: '▼', word: 'down' },
  RESTARTING: { rank: 4, tone: 'busy', glyph: '↻', word: 'restarting' },
  SUSPECT: { rank: 5, tone: 'warn', glyph: '▲', word: 'suspect' },
  DEGRADED: { rank: 6, tone: 'warn', glyph: '◐', word: 'degraded' },
  STARTING: { rank: 7, tone: 'busy', glyph: '…', word: 'starting' },
  HELD: { rank: 8, tone: 'held', glyph: '‖', word: 'held' },
  NONE: { rank: 9, tone: 'unknown', glyph: '?', word: 'not known yet' },
  UP: { rank: 10, tone: 'ok', glyph: '●', word: 'up' },
};

function stateOf(row) {
  if (row.host_lost) return STATES.LOST;
  if (row.state === 'UP' && row.status === 'degraded') return STATES.DEGRADED;
  return STATES[row.state] ?? STATES.NONE;
}

const CAUSES = {
  missing_heartbeat: 'its heartbeats are missing',
  status_unhealthy: 'it says that it is unhealthy',
  start_timeout: 'it did not become healthy in time',
  stale_network: 'what it shares a network with was restarted',
  dependency_restarted: 'what it depends on was restarted',
};

const REFUSALS = {
  enabled: 'restarts are disabled',
  leader: 'this controller is not the leader',
  settled: 'silence is not acted on yet',
  host: 'no command reaches its host',
  deny: 'it is on the deny list',
  own: 'it is a part of defib',
  redis: 'it is the Redis that defib uses',
  identity: 'two claim its name',
  allow: 'it is not on the allow list',
  hold: 'an operator holds it',
  ancestor: 'what it depends on comes first',
  breaker: 'the breaker is open',
  host_limit: 'another restart runs on its host',
  fleet_limit: 'enough restarts run in the fleet',
  backoff: 'it waits for its backoff',
};

const HELD_BECAUSE = {
  hold: 'an operator holds it',
  operator_stop: 'an operator stopped it',
  paused: 'it is paused',
  created: 'it was never started',
  completed: 'a one-off, done',
  unknown_stop: 'it stopped unseen, perhaps by an operator',
  refused_stopped: 'its agent says: stopped on purpose',
  refused_held: 'its agent says: not to be touched now',
};

const plain = (word) => (word ?? '').replaceAll('_', ' ');

/* How it ended, where Docker says that it did. */
function endingOf(row) {
  if (row.docker.state !== 'exited' && row.docker.state !== 'dead') return '';
  const code = row.docker.exit_code === null ? '' : `, exit code ${row.docker.exit_code}`;
  return `${plain(row.docker.stop_class)}${code}`;
}

/* Why it is as it is, in one line. */
function whyOf(row) {
  if (row.host_lost) return 'nothing is heard of its host: nothing of it is counted';
  if (row.state === 'HELD') return row.held_by_operator ? HELD_BECAUSE.hold : HELD_BECAUSE[row.reason] ?? plain(row.reason);
  if (row.name_collision && row.state === 'UP') return `if it failed it would not be restarted: ${REFUSALS.identity}`;
  if (row.state === 'UP') return row.status === 'degraded' ? 'it says that it is degraded' : '';
  if (row.state === 'STARTING') return 'nothing is counted during its grace';
  const cause = endingOf(row) || CAUSES[row.cause] || plain(row.cause || row.reason);
  if (row.state === 'COOLDOWN') return `${cause}; its attempts did not help`;
  const refusal = row.state === 'FAILED' && row.gate ? `; not restarted: ${REFUSALS[row.gate] ?? plain(row.gate)}` : '';
  return cause + refusal;
}

/* What comes next and when, as [words, time in ms]; null where nothing is due. */
function nextOf(row, now) {
  const at = (text) => (text ? Date.parse(text) : 0);
  if (row.host_lost) return null;
  if (row.state === 'HELD') return at(row.held_until) > 0 ? ['hold ends', at(row.held_until)] : null;
  if (at(row.cooldown_until) > now - 2000 && row.state === 'COOLDOWN') return ['cooldown ends', at(row.cooldown_until)];
  if (row.state === 'UP') return null;
  if (at(row.next_attempt_at) > now && row.state !== 'STARTING') return ['next attempt', at(row.next_attempt_at)];
  if (row.state === 'RESTARTING') return null;
  return at(row.next_look_at) > 0 ? ['next check', at(row.next_look_at)] : null;
}

/* ---- words for times ---- */

/* "4 s", "3:07", "2 h 5 min", "5 d". */
function span(ms) {
  const secs = Math.max(0, Math.round(ms / 1000));
  if (secs < 60) return `${secs} s`;
  if (secs < 3600) return `${Math.floor(secs / 60)}:${String(secs % 60).padStart(2, '0')}`;
  if (secs < 172800) return `${Math.floor(secs / 3600)} h ${Math.floor((secs % 3600) / 60)} min`;
  return `${Math.floor(secs / 86400)} d`;
}

const hourMinuteSecond = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const clock = (ms) => hourMinuteSecond.format(ms);

/* A time that runs: down to `data-until`, up from `data-since`. */
const countdown = (ms) => make('time', { 'data-until': ms, dateTime: new Date(ms).toISOString(), title: clock(ms) });
const age = (ms) => make('time', { 'data-since': ms, dateTime: new Date(ms).toISOString(), title: clock(ms) });

function runTimes(root, now) {
  for (const element of root.querySelectorAll('time[data-until]')) {
    const left = element.dataset.until - now;
    setText(element, left < 500 ? 'now' : span(left));
  }
  for (const element of root.querySelectorAll('time[data-since]')) setText(element, span(now - element.dataset.since));
}

/* ---- words for events ---- */

const ALERTS = {
  SERVICE_RESTART_FAILED: ['bad', 'not restarted'],
  SERVICE_RESTARTED: ['busy', 'restarted'],
  SERVICE_RECOVERED: ['ok', 'healthy again'],
  SERVICE_HELD: ['held', 'left alone'],
  NEEDS_RECREATE: ['bad', 'needs to be recreated'],
  CRASH_LOOP: ['warn', 'restarts in a loop'],
  AGENT_LOST: ['bad', 'host lost'],
  AGENT_RECOVERED: ['ok', 'host is back'],
  REDIS_LOST: ['bad', 'Redis lost'],
  REDIS_RECOVERED: ['ok', 'Redis is back'],
  BREAKER_OPEN: ['bad', 'breaker open'],
  BREAKER_CLOSED: ['ok', 'breaker closed'],
  NAME_COLLISION: ['warn', 'two claim one name'],
};

const inBrackets = (text) => (text ? ` (${plain(text)})` : '');

/* {tone, text, isStep}: isStep marks what only says how it came to the rest. */
function tellEvent(event) {
  if (event.type) {
    const [tone, words] = ALERTS[event.type] ?? ['warn', plain(event.type.toLowerCase())];
    const why = event.action || event.reason;
    return { tone, text: `${words}${why ? `: ${plain(why)}` : ''}${inBrackets(event.detail)}`, isStep: false };
  }
  if (event.kind === 'operator') {
    return { tone: 'held', text: `${event.action}${event.reason ? ` ${event.reason}` : ''} ${event.detail ?? ''}`, isStep: false };
  }
  if (event.kind === 'transition') {
    const to = STATES[event.to] ?? STATES.NONE;
    return { tone: to.tone, text: `${to.word}: ${plain(event.reason)}${inBrackets(event.detail === event.reason ? '' : event.detail)}`, isStep: event.reason === 'settling' || event.from === 'DOWN' || !['FAILED', 'DOWN'].includes(event.to) };
  }
  if (event.kind === 'decision' && event.gate) {
    return { tone: 'warn', text: `not restarted: ${REFUSALS[event.gate] ?? plain(event.gate)}${inBrackets(event.detail)}`, isStep: true };
  }
  if (event.kind === 'decision') {
    return { tone: 'busy', text: `${plain(event.action)}: attempt ${event.attempt ?? '?'}, ${plain(event.reason)}${inBrackets(event.detail)}`, isStep: false };
  }
  return { tone: 'unknown', text: `${plain(event.kind)} ${plain(event.reason)}${inBrackets(event.detail)}`, isStep: true };
}
