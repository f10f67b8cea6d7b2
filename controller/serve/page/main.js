
/* ---- wiring ---- */

const THEMES = { auto: ['◐', 'as the system has them'], light: ['○', 'light'], dark: ['●', 'dark'] };

function setTheme(theme) {
  const [glyph, words] = THEMES[theme];
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem('defib.theme', theme);
  setText($('theme'), glyph);
  $('theme').setAttribute('aria-label', `Colours: ${words}`);
  $('theme').title = `Colours: ${words}`;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(localStorage.getItem('defib.theme')) + 1) % names.length]);
}

function redrawAll() {
  if (fleet.status !== null) draw();
  drawTimeline();
}

function onKey(event) {
  const isTyping = event.target.closest('input, select, textarea, dialog');
  if (event.key === '/' && !isTyping) {
    event.preventDefault();
    $('search').focus();
  }
}

function openFromAddress() {
  let name = '';
  try {
    name = decodeURIComponent(location.hash.slice(1));
  } catch { /* not one of ours */ }
  if (name && name !== 'trouble-title') openExplanation(name);
}

function start() {
  setTheme(THEMES[localStorage.getItem('defib.theme')] ? localStorage.getItem('defib.theme') : 'auto');
  $('theme').onclick = nextTheme;
  $('hold-any').onclick = holdAny;
  $('search').oninput = () => {
    view.search = $('search').value.trim().toLowerCase();
    redrawAll();
  };
  $('group').onchange = () => {
    view.group = $('group').value;
    redrawAll();
  };
  $('trouble-more').onclick = () => {
    view.isLong = !view.isLong;
    redrawAll();
  };
  $('every-step').onchange = drawTimeline;
  $('map').onkeydown = moveInMap;
  $('map').setAttribute('aria-describedby', 'map-help');
  $('explain-close').onclick = () => $('explain').close();
  $('explain').onclose = closedExplanation;
  for (const button of document.querySelectorAll('[data-act]')) button.onclick = () => actOnExplained(button.dataset.act);
  $('change-form').onsubmit = sendChange;
  $('change-cancel').onclick = () => $('change').close();
  document.onkeydown = onKey;
  document.onvisibilitychange = () => !document.hidden && askAll(0);
  window.onhashchange = openFromAddress;
  askAll(0);
  listen();
  setInterval(() => {
    watch();
    drawLink();
    refreshExplanation();
    runTimes(document, fleetNow());
  }, 1000);
  setInterval(drawTimeline, 60000);
  openFromAddress();
}

start();
