
/* ---- the last hour ---- */

const EVENTS_SHOWN = 120, MINUTES = 60, BAR = 4, CHART_HEIGHT = 48;
const SVG = 'http://www.w3.org/2000/svg';
const CHART_TONES = ['bad', 'warn', 'busy', 'held', 'ok', 'unknown'];

function eventItem(event) {
  const { tone, text } = event.told;
  const known = event.container && fleet.rows.has(event.container);
  const who = known ? make('button', { className: 'name', type: 'button', onclick: () => openExplanation(event.container) }, event.container)
    : make('b', {}, event.container || event.host || 'fleet');
  return make('li', { 'data-tone': tone },
    make('time', { dateTime: event.timestamp, title: event.timestamp }, clock(event.at)),
    make('div', {}, who, ' ', make('span', { className: 'what' }, text)));
}

function isWanted(event) {
  if (!$('every-step').checked && event.told.isStep) return false;
  return !view.search || [event.container, event.host].some((text) => text?.toLowerCase().includes(view.search));
}

/* The same of the same at once, as when a death is judged twice. */
function isSaidAgain(event, earlier) {
  return earlier !== undefined && event.container === earlier.container && event.told.text === earlier.told.text && event.at - earlier.at < 2000;
}

function drawChart(events, now) {
  const bars = Array.from({ length: MINUTES }, () => ({}));
  let most = 4;
  for (const event of events) {
    const back = Math.floor((now - event.at) / 60000);
    const bar = bars[MINUTES - 1 - Math.max(0, back)];
    if (!bar) continue;
    const { tone } = event.told;
    bar[tone] = (bar[tone] ?? 0) + 1;
    bar.total = (bar.total ?? 0) + 1;
    most = Math.max(most, bar.total);
  }
  const rects = [];
  bars.forEach((bar, i) => {
    let y = CHART_HEIGHT;
    for (const tone of CHART_TONES.filter((each) => bar[each])) {
      const height = (bar[tone] / most) * (CHART_HEIGHT - 4);
      y -= height;
      const rect = document.createElementNS(SVG, 'rect');
      for (const [name, value] of Object.entries({ x: i * BAR + 0.4, y, width: BAR - 0.8, height, class: tone })) rect.setAttribute(name, value);
      rects.push(rect);
    }
  });
  $('chart').replaceChildren(...rects);
  const bad = events.filter((event) => event.told.tone === 'bad').length;
  $('chart').setAttribute('aria-label', `${events.length} events in the last hour, ${bad} of them bad`);
}

let timelineTimer = 0;
function drawTimeline() {
  if (timelineTimer) return;
  timelineTimer = setTimeout(() => {
    timelineTimer = 0;
    const now = fleetNow();
    mergeEvents();
    const events = fleet.events.filter(isWanted).filter((event, i, all) => !isSaidAgain(event, all[i + 1]));
    drawChart(events, now);
    $('events').replaceChildren(...events.slice(0, EVENTS_SHOWN).map(eventItem));
    const note = events.length === 0 ? 'Nothing happened in the last hour.'
      : events.length > EVENTS_SHOWN ? `and ${events.length - EVENTS_SHOWN} earlier ones; defibctl events shows them all`
        : fleet.areEventsCut ? 'Earlier ones are left out; defibctl events shows them all.' : '';
    setText($('events-note'), note);
  }, 60);
}

/* For those who listen rather than look: what went bad, and what is well again. */
function announce(event) {
  if (!event.type) return;
  setText($('news'), `${event.container || event.host || 'fleet'}: ${tellEvent(event).text}`);
}
