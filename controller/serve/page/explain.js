
/* ---- why it is (not) restarted ---- */

const explaining = { name: null, answer: null, isBusy: false, at: 0 };
const HISTORY_SHOWN = 12;

function openExplanation(name) {
  explaining.name = name;
  explaining.answer = null;
  explaining.at = 0;
  setText($('explain-name'), name);
  $('explain-body').replaceChildren(make('p', { className: 'note' }, 'asking the controller…'));
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  if (!$('explain').open) $('explain').showModal();
  refreshExplanation();
}

/* Told a moment after the dialog closed: by then it may be open for another one. */
function closedExplanation() {
  if ($('explain').open) return;
  explaining.name = null;
  history.replaceState(null, '', location.pathname);
}

/* At most once a second, while it is open. */
async function refreshExplanation() {
  const name = explaining.name;
  if (name === null || explaining.isBusy || Date.now() - explaining.at < 900) return;
  explaining.isBusy = true;
  explaining.at = Date.now();
  try {
    const answer = await api(`explain/${encodeURIComponent(name)}`);
    if (explaining.name === name) drawExplanation(answer);
  } catch (error) {
    const isGone = error.status === 404;
    if (explaining.name === name && (isGone || explaining.answer === null)) {
      $('explain-body').replaceChildren(make('p', {}, isGone ? error.message : `No answer: ${error.message}. It is asked again.`));
    }
  }
  explaining.isBusy = false;
  if (explaining.name !== null && explaining.name !== name) refreshExplanation();
}

const lines = (className, texts) => make('ul', { className }, ...texts.map((text) => make('li', {}, text)));
const part = (title, ...content) => [make('h3', {}, title), ...content];

function gateList(gates) {
  return make('ul', { className: 'gates' }, ...gates.map(({ gate, open, says }) => make('li', { 'data-tone': open ? 'ok' : 'bad' },
    make('span', { className: 'mark', 'aria-hidden': 'true' }, open ? '✓' : '✕'),
    ` ${plain(gate)}`, open ? make('span', { className: 'hidden' }, ' open') : make('span', {}, ` is closed: ${says}`))));
}

function factList(row) {
  const facts = [
    ['Host', row.host], ['Service', row.service], ['Instance', row.instance], ['Container id', row.container_id?.slice(0, 12)],
    ['Started', row.docker.started_at], ['Docker says', [row.docker.state, row.docker.health].filter((word) => word && word !== 'none' && word !== 'unknown').join(', ')],
    ['Attempts', `${row.attempts} of ${row.max_attempts}`], ['Misses', row.misses ? `${row.misses} of ${row.miss_threshold}` : null],
    ['Lives in', row.parent],
  ];
  return make('dl', { className: 'facts' }, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
}

function historyList(name) {
  const events = fleet.events.filter((event) => event.container === name).slice(0, HISTORY_SHOWN);
  if (events.length === 0) return make('p', { className: 'note' }, 'Nothing in the last hour.');
  return make('ul', { className: 'plain' }, ...events.map((event) => make('li', {}, `${clock(Date.parse(event.timestamp))} `, event.told.text)));
}

/* Makes `old` like `fresh`, and leaves alone what is so already: a selection and a reader's place stay. */
function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((node, i) => (before[i] ? morph(before[i], node) : old.append(node)));
  before.slice(after.length).forEach((node) => node.remove());
}

function drawExplanation(answer) {
  const row = answer.container;
  explaining.answer = answer;
  const state = stateOf(row);
  const next = answer.next.what ? ['Next: ', answer.next.what, ...(answer.next.at ? [' · ', countdown(Date.parse(answer.next.at))] : [])] : ['Nothing is due by itself.'];
  const fresh = make('div', { id: 'explain-body' },
    make('p', { 'data-tone': state.tone }, make('span', { className: 'state', 'data-glyph': state.glyph }, state.word)),
    make('p', { className: 'headline' }, answer.headline),
    make('p', { className: 'verdict' }, answer.verdict),
    make('p', { className: 'verdict', id: 'explain-next' }, ...next),
    ...part('Evidence', lines('plain', answer.evidence)),
    ...(answer.help.length ? part('What helps', lines('plain help', answer.help)) : []),
    ...part('Gates, in the order in which they are asked', gateList(answer.gates)),
    ...part('Last hour', historyList(row.container)),
    ...part('Facts', factList(row)));
  runTimes(fresh, fleetNow());
  morph($('explain-body'), fresh);
}
