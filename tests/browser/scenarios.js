// What the page must do, each on a fleet that tests/integration/test_page.sh has made.
'use strict';

const TOKEN = '0123456789abcdef';
const NARROW = { width: 390, height: 844 };

const seconds = (text) => (/^\d+:\d+$/.test(text) ? text.split(':').reduce((all, part) => 60 * all + Number(part), 0) : NaN);

async function fillIn(page, { by = 'anna', token = TOKEN, reason = '' }) {
  await page.fill('#change-by', by);
  await page.fill('#change-reason', reason);
  await page.fill('#change-token', token);
  await page.click('#change-go');
}

// The page is the controller's and draws what it has.
async function opened(stage, options) {
  const page = await stage.open(options);
  await stage.shows(page, '#link', /^live$/);
  return page;
}

// A kill appears, its attempts are counted, the countdown of its cooldown runs, and it is explained.
async function kill(stage, run, expect) {
  const page = await opened(stage);
  await stage.shows(page, '#trouble-note', /^Nothing: all 4 containers are up/);
  await stage.shows(page, '#map h3', /^h1$/);
  await stage.shows(page, '#map .about', /live · heard by Redis \d+ s ago, agent /);
  await stage.shows(page, '#paths', /leader .*Redis.*1 of 1 agents.*breaker closed/);
  // how long from the controller's own record to what is drawn
  await page.evaluate(() => {
    window.seen = {};
    stream.addEventListener('record', ({ data }) => {
      const { container } = JSON.parse(data);
      if (container === 'svc-loop') window.seen.recorded ??= performance.now();
    });
    new MutationObserver(() => {
      if (/svc-loop/.test(document.querySelector('#trouble').textContent)) window.seen.drawn ??= performance.now();
    }).observe(document.querySelector('#trouble'), { childList: true, subtree: true });
  });
  await page.focus('#map .tile[title=svc-loop]');
  await run('end_for_good svc-loop');
  await stage.shows(page, '#trouble li', /svc-loop/);
  const { recorded, drawn } = await page.evaluate(() => window.seen);
  console.log(`drawn ${Math.round(drawn - recorded)} ms after the controller recorded it`);
  // within a second, and some for a machine that does much besides
  expect(drawn - recorded < 5000 * Number(process.env.WAIT_FACTOR ?? 1), `drawn ${drawn - recorded} ms after the record`);
  // what is in trouble moves to the front, and the focus with it
  await stage.until(page, 'the worst stands first', () => document.querySelector('#map .tile').title === 'svc-loop');
  expect(await page.evaluate(() => document.activeElement.title) === 'svc-loop', 'the tile that moved lost the focus');

  // attempts, cooldown, and its running countdown
  await stage.shows(page, '#trouble li[data-tone=bad]', /cooldown.*svc-loop.*3\/3/);
  const left = () => page.textContent('#trouble li .next time').then(seconds);
  const first = await left();
  expect(first > 200 && first <= 302, `the cooldown's countdown says ${first}`);
  await stage.until(page, 'the countdown runs', (before) => {
    const [minutes, secs] = document.querySelector('#trouble li .next time').textContent.split(':').map(Number);
    return 60 * minutes + secs <= before - 2;
  }, first);
  await stage.shows(page, '#events', /svc-loop start: attempt 1/);
  await stage.shows(page, '#events', /svc-loop not restarted: max attempts exhausted/);
  expect(await page.locator('#chart rect').count() > 0, 'the chart of the last hour is empty');
  await stage.shot(page, 'trouble');

  // one click to the explanation with its evidence
  await page.click('#trouble button.name');
  await stage.shows(page, '#explain .headline', /^svc-loop is in its cooldown: 3 of 3 attempts did not help\.$/);
  await stage.shows(page, '#explain', /Docker on h1 says exited, exit code 7, judged crash/);
  await stage.shows(page, '#explain .help', /defibctl reset svc-loop/);
  await stage.shows(page, '#explain-next', /^Next: the cooldown ends.* · \d/);
  expect(await page.locator('#explain .gates li').count() > 10, 'the gates are not listed');
  expect(page.url().endsWith('#svc-loop'), `the address is ${page.url()}`);
  await stage.shot(page, 'explanation');
  await page.keyboard.press('Escape');
  await stage.until(page, 'Escape closes it', () => !document.querySelector('#explain').open);

  // who is denied: why not
  await run('d kill svc-denied');
  await stage.shows(page, '#trouble li', /svc-denied.*not restarted: it is on the deny list/);

  // a page that comes later knows what happened, and an address opens its explanation
  const later = await stage.open({}, '#svc-denied');
  await stage.shows(later, '#explain .verdict', /^It is not restarted because it is in the deny list/);
  await stage.shows(later, '#events', /svc-loop start: attempt 1/);
}

// Holds, releases, resets and restarts, with the right token alone.
async function change(stage, run, expect) {
  const page = await opened(stage);
  const open = async (act) => {
    await page.evaluate((name) => openExplanation(name), 'svc-a');
    await page.click(`#explain [data-act=${act}]`);
  };
  const close = () => page.evaluate(() => document.querySelector('#explain').close());

  // without, and with a wrong token, nothing happens
  await open('hold');
  await fillIn(page, { token: '' });
  expect(await page.locator('#change[open]').count() === 1, 'without a token it was sent');
  await fillIn(page, { token: 'fedcba9876543210' });
  await stage.shows(page, '#change-error', /^Not done: the token is not the one in DEFIB_HTTP_TOKEN_FILE$/);
  await stage.shot(page, 'wrong-token');
  await run('no_hold container:svc-a');

  // the right one: it holds, shows, and holds on
  await fillIn(page, { reason: 'a migration' });
  await stage.shows(page, '#holds li', /container svc-a by anna: a migration · ends in (2[5-9]:|30:)/);
  await close();
  await stage.shows(page, '#trouble li', /held.*svc-a.*an operator holds it/);
  await run('crash_and_stay svc-a');
  await stage.shows(page, '#trouble li', /held.*svc-a/);
  await stage.shot(page, 'held');

  // released, it comes back; the token is asked for no more
  await page.click('#holds button');
  expect(await page.inputValue('#change-token') === TOKEN, 'the token is asked for again');
  await page.click('#change-go');
  await run('comes_back svc-a');
  await stage.shows(page, '#trouble-note', /^Nothing: all 2 containers are up/);
  await stage.shows(page, '#map .tile', /svc-a.*1\/3/);
  await stage.until(page, 'no hold is left', () => document.querySelector('#holds-section').hidden);

  // a reset gives the budget back
  await open('reset');
  await fillIn(page, {});
  await stage.until(page, 'a fresh budget', () => fleet.rows.get('svc-a')?.attempts === 0);
  await close();

  // a restart restarts
  await run('remember svc-a');
  await open('restart');
  await fillIn(page, { reason: 'test' });
  await run('comes_back svc-a');
  await stage.shows(page, '#events', /svc-a restart by anna: test/);
  await stage.until(page, 'the dialog has its answer', () => !document.querySelector('#change').open);

  // what must not be is refused, in words; the explanation of another one opens in the moment in which this one closes
  await page.evaluate(() => {
    document.querySelector('#explain').close();
    openExplanation('other');
  });
  await page.click('#explain [data-act=restart]');
  await fillIn(page, {});
  await stage.shows(page, '#change-error', /^Not done: other is not restarted: it is not in the allow list/);
  await page.click('#change-cancel');
  await close();

  // all at once
  await page.click('#hold-any');
  await fillIn(page, {});
  await stage.shows(page, '#banners', /Everything is held by anna until /);
}

// Cut off it says so, and comes back by itself.
async function restart(stage, run, expect) {
  const page = await opened(stage);
  await stage.shows(page, '#trouble-note', /are up/);
  await run('stop controller');
  await stage.shows(page, '#link', /^cut off$/);
  await stage.shows(page, '#banners', /^Cut off: no word from the controller since \d\d:\d\d:\d\d/);
  expect(await page.evaluate(() => document.body.classList.contains('cut')), 'the map looks as if it were true');
  await stage.shot(page, 'cut-off');
  await run('begin_again');
  await stage.shows(page, '#link', /^live$/);
  await stage.until(page, 'the stream is back', () => stream?.readyState === EventSource.OPEN);
  await run('end_for_good svc-loop');
  await stage.shows(page, '#trouble li', /svc-loop/);
  // a stopped process keeps its connections open and says nothing
  await run('freeze');
  await stage.shows(page, '#link', /^cut off$/);
  await run('thaw');
  await stage.shows(page, '#link', /^live$/);
  await stage.until(page, 'the stream is back again', () => stream?.readyState === EventSource.OPEN);
  await run('stop_redis');
  await stage.shows(page, '#banners', /Redis is away since/);
  await stage.shows(page, '#paths', /Redis away/);
  // the last hour is told without Redis too
  const later = await opened(stage);
  await stage.shows(later, '#events', /svc-loop/);
}

// A host that is lost, keys alone, and names that would be markup.
async function enemy(stage, run, expect) {
  const page = await opened(stage);
  await stage.shows(page, '#map .tile', /<img src=x onerror=alert\(1\)>/);
  await stage.shows(page, '#trouble li', /"><script>alert\(2\)<\/script>/);
  expect(await page.locator('#map img, main script').count() === 0, 'a name became markup');
  // the policy: no script but its own, no markup from text
  const refusals = await page.evaluate(() => new Promise((resolve) => {
    const found = [];
    document.addEventListener('securitypolicyviolation', (event) => found.push(event.effectiveDirective));
    const script = document.createElement('script');
    try {
      script.textContent = 'window.ran = true';
    } catch {
      found.push('trusted-types');
    }
    document.head.append(script);
    try {
      document.querySelector('#news').innerHTML = '<b>x</b>';
    } catch {
      found.push('innerHTML');
    }
    fetch('http://127.0.0.1:1/').catch(() => {});
    setTimeout(() => resolve([...found, window.ran ? 'ran' : 'not ran']), 300);
  }));
  expect(refusals.includes('innerHTML') && refusals.includes('not ran') && refusals.includes('connect-src'), `the policy refused only: ${refusals}`);
  stage.problems = stage.problems.filter((text) => !/Trusted|Content Security Policy|TrustedHTML/i.test(text));

  // by keys alone: into the map, along it, open, close
  await page.focus('#map .tile[tabindex="0"]');
  const at = () => page.evaluate(() => document.activeElement.title);
  const first = await at();
  await page.keyboard.press('ArrowRight');
  const second = await at();
  expect(second !== first, 'the arrow key does not move');
  await page.keyboard.press('ArrowLeft');
  expect(await at() === first, 'the arrow key does not move back');
  await page.keyboard.press('Enter');
  await stage.until(page, 'Enter explains', () => document.querySelector('#explain').open && document.querySelector('#explain .headline'));
  await page.keyboard.press('Escape');
  await stage.until(page, 'the focus comes back', (name) => document.activeElement.title === name, first);
  await page.keyboard.press('/');
  await page.keyboard.type('SVC-');
  await stage.until(page, 'the search leaves what matches', () => [...document.querySelectorAll('#map .tile .label')].map((label) => label.textContent).join() === 'svc-a');
  await page.fill('#search', '');

  // a host that is lost
  await run('kill_hard agent');
  await stage.shows(page, '#banners', /Not reached: h1\./);
  await stage.shows(page, '#map .about[data-tone=bad]', /^lost: nothing of it is counted · heard by Redis \d+ s ago/);
  await stage.shows(page, '#trouble li', /host lost.*svc-a/);
  await stage.shows(page, '#events', /h1 host lost/);
  await stage.shot(page, 'host-lost');
}

// Beyond loopback the browser asks for the token; to change something the page asks for it again.
async function guarded(stage, run, expect) {
  const refusal = await stage.open().then(() => 'nothing', (error) => error.message);
  expect(/ERR_INVALID_AUTH_CREDENTIALS/.test(refusal), `a stranger is refused by ${refusal}`);
  const page = await opened(stage, { httpCredentials: { username: 'anna', password: TOKEN } });
  await stage.shows(page, '#map .tile', /svc-a/);
  await page.click('#hold-any');
  await fillIn(page, { token: 'fedcba9876543210' });
  await stage.shows(page, '#change-error', /^Not done: the token/);
  await run('no_hold all:all');
  await fillIn(page, {});
  await stage.shows(page, '#banners', /Everything is held by anna/);
}

// No violation, in the light and the dark, wide and narrow.
async function looks(stage, run, expect) {
  await run('make_trouble');
  for (const colorScheme of ['light', 'dark']) {
    for (const viewport of [{ width: 1360, height: 900 }, NARROW]) {
      const name = `${colorScheme}-${viewport.width}`;
      const page = await opened(stage, { colorScheme, viewport, bypassCSP: true });
      await stage.shows(page, '#trouble li', /svc-loop/);
      await stage.shows(page, '#holds li', /service/);
      await stage.shows(page, '#events li', /svc-loop/);
      await stage.audit(page, name);
      await stage.shot(page, name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wide <= 0, `${name}: it is ${wide} px wider than the window`);
      await page.click('#trouble button.name');
      await stage.shows(page, '#explain .headline', /svc/);
      await stage.audit(page, `${name}, explanation`);
      await stage.shot(page, `${name}-explanation`);
      await page.click('#explain [data-act=hold]');
      await stage.audit(page, `${name}, hold`);
      await stage.shot(page, `${name}-hold`);
      await page.context().close();
    }
  }
}

// Five hundred containers: how long until they are painted, and what an update costs in which every one changed.
async function large(stage, run, expect) {
  const hasAll = () => document.querySelectorAll('#map .tile').length === 500;
  const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const page = await opened(stage);
  await stage.until(page, '500 tiles', hasAll);
  await page.addInitScript(() => {
    const look = () => (document.querySelectorAll('#map .tile').length === 500 ? performance.mark('mapped') : requestAnimationFrame(look));
    requestAnimationFrame(look);
  });
  const paints = [], maps = [];
  for (let i = 0; i < 7; i++) {
    await page.reload();
    await stage.until(page, '500 tiles', () => performance.getEntriesByName('mapped').length > 0);
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
    maps.push(await page.evaluate(() => performance.getEntriesByName('mapped')[0].startTime));
  }
  await page.evaluate(() => {
    window.updates = [];
    const drawn = draw;
    draw = () => {
      const before = performance.now();
      drawn();
      window.updates.push(performance.now() - before);
    };
  });
  for (const [status, tone] of [['degraded', 'warn'], ['healthy', 'ok'], ['degraded', 'warn'], ['healthy', 'ok']]) {
    await run(`beat_all ${status}`);
    await stage.until(page, `all are ${status}`, (wanted) => document.querySelectorAll(`#map .tile[data-tone=${wanted}]`).length === 500, tone);
  }
  const updates = await page.evaluate(() => window.updates);
  const bytes = await page.evaluate(() => performance.getEntriesByType('navigation')[0].decodedBodySize);
  const figures = {
    'size of the page': bytes, 'first paint, median of 7': Math.round(median(paints)), 'all 500 tiles drawn, median of 7': Math.round(median(maps)),
    'scripting for an update of all 500, median': median(updates), 'scripting for an update of all 500, most': Math.max(...updates),
  };
  for (const [name, value] of Object.entries(figures)) console.log(`${name}: ${Number.isInteger(value) ? value : value.toFixed(1)}`);
  // the goals are 300 and 16; on a machine that does other things as well, what is out of all proportion fails
  const factor = 10 * Number(process.env.WAIT_FACTOR ?? 1);
  expect(median(paints) < 300 * factor, `first paint after ${median(paints)} ms`);
  expect(median(updates) < 16 * factor, `an update takes ${median(updates)} ms`);

  // a host on which all fails: worst first, and its breaker tells
  for (let i = 0; i < 4; i++) await run('beat_all unhealthy 1');
  await stage.until(page, 'the worst host stands first', () => /^host-0/.test(document.querySelector('#map .group').textContent)
    && document.querySelectorAll('#map .group:first-child .tile[data-tone=ok]').length === 0);
  await stage.shows(page, '#paths', /breaker open on 1/);
  await stage.shows(page, '#map .group:first-child .about', /breaker open/);
  await stage.shows(page, '#trouble li', /host-0.service-0.*the breaker is open/);
  await stage.shot(page, 'large');
  await stage.audit(page, '50 of 500 failed');
  expect(await page.locator('#trouble li').count() === 12, 'the worst do not leave room for the map');
  await page.click('#trouble-more');
  await stage.until(page, 'all that need attention', () => document.querySelectorAll('#trouble li').length === 50);
  await page.selectOption('#group', 'service');
  await stage.until(page, 'by service', () => document.querySelectorAll('#map h3').length === 50);
}

module.exports = { kill, change, restart, enemy, guarded, looks, large };
