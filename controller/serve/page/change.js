
/* ---- what an operator changes: asked twice, with the token ---- */

let token = ''; // of this page alone: nothing keeps it
const changing = { act: null, targets: [], turn: 0 };

const CHANGES = {
  hold: { title: 'Hold', go: 'Hold', what: 'Nothing in this scope is restarted until the hold ends.' },
  release: { title: 'Release', go: 'Release', what: 'The hold ends now; what is still broken is restarted as the policy has it.' },
  reset: { title: 'Reset', go: 'Reset', what: 'It gets a fresh budget of attempts, and a cooldown ends at once.' },
  restart: { title: 'Restart', go: 'Restart', what: 'It is restarted now, as far as deny list, allow list, holds and leadership permit. This uses no attempt.' },
};

const targetWords = ([kind, name]) => (kind === 'all' ? 'everything' : `${kind} ${name}`);

/* targets: [kind, name] pairs, the first one chosen. */
function openChange(act, targets) {
  const words = CHANGES[act];
  Object.assign(changing, { act, targets, turn: changing.turn + 1 });
  $('change').close(); // one that still waits for its answer stands behind the explanation
  $('change-go').disabled = false;
  setText($('change-title'), targets.length === 1 ? `${words.title} ${targetWords(targets[0])}?` : words.title);
  setText($('change-what'), words.what);
  setText($('change-go'), words.go);
  setText($('change-error'), '');
  $('change-scope').replaceChildren(...targets.map((target, i) => make('option', { value: i }, targetWords(target))));
  $('change-scope-row').hidden = targets.length === 1;
  $('change-time-row').hidden = act !== 'hold';
  $('change-reason').value = '';
  $('change-by').value = localStorage.getItem('defib.by') ?? '';
  $('change-token').value = token;
  $('change').showModal();
  (targets.length > 1 ? $('change-scope') : !$('change-by').value ? $('change-by') : !token ? $('change-token') : $('change-go')).focus();
}

function changeBody() {
  const [kind, name] = changing.targets[Number($('change-scope').value)];
  const body = { by: $('change-by').value.trim(), reason: $('change-reason').value.trim() };
  if (changing.act === 'reset' || changing.act === 'restart') return { ...body, container: name };
  if (kind !== 'all') body.name = name;
  if (changing.act === 'release') return { ...body, kind };
  const time = $('change-time').value;
  return { ...body, kind, ...(time === 'forever' ? { forever: true } : { for_secs: Number(time) }) };
}

async function sendChange(event) {
  event.preventDefault();
  const { act, turn } = changing;
  const body = changeBody();
  const isShown = () => turn === changing.turn; // the dialog may be another one's by now
  const given = $('change-token').value;
  setText($('change-error'), '');
  $('change-go').disabled = true;
  try {
    localStorage.setItem('defib.by', body.by);
    await api(act, {
      method: 'POST',
      headers: { Authorization: `Bearer ${given}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15000),
    });
    token = given;
    if (isShown()) $('change').close();
    setText($('news'), `${CHANGES[act].title}: done`);
    explaining.at = 0;
    askAll(300);
  } catch (error) {
    if (error.status === 401) token = '';
    const isLost = error.status === undefined;
    const words = isLost ? `No answer (${error.message}): it may or may not have been done.` : `Not done: ${error.message}`;
    setText($(isShown() ? 'change-error' : 'news'), isShown() ? words : `${CHANGES[act].title}: ${words}`);
  }
  if (isShown()) $('change-go').disabled = false;
}

function actOnExplained(act) {
  const name = explaining.name;
  const row = fleet.rows.get(name);
  const around = [['container', name]];
  if (row?.service) around.push(['service', row.service]);
  if (row?.host) around.push(['host', row.host]);
  if (act === 'hold') return openChange(act, around);
  if (act !== 'release') return openChange(act, [['container', name]]);
  around.push(['all', 'all']);
  const held = around.filter(([kind, of]) => fleet.status.holds.some((hold) => hold.kind === kind && (kind === 'all' || hold.name === of)));
  return openChange(act, held.length ? held : [['container', name]]);
}

function holdAny() {
  const hosts = fleet.status?.hosts.map((host) => ['host', host.host]) ?? [];
  const services = [...new Set([...fleet.rows.values()].map((row) => row.service).filter(Boolean))].sort().map((name) => ['service', name]);
  openChange('hold', [['all', 'all'], ...hosts, ...services]);
}
