// node drive.js SCENARIO: plays one of scenarios.js in headless Chromium on the running controller at 127.0.0.1:7410.
//
//   MODULES     the folder that holds node_modules (tests/browser/install)
//   SHOTS       where screenshots go
//   TO, FROM    two FIFOs. What is to happen to the fleet is written to TO, a command a line, and done by the shell
//               (tests/integration/test_page.sh); its answer, `ok` or `failed`, comes from FROM.
//
// Waiting is by condition with a generous deadline. Exit 0 where all was as it should be.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const { createRequire } = require('node:module');

const { MODULES, SHOTS, TO, FROM, WAIT_FACTOR = '1', URL = 'http://127.0.0.1:7410/' } = process.env;
const load = createRequire(path.join(MODULES, 'node_modules', 'x.js'));
const { chromium } = load('playwright-core');
const axeSource = fs.readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE_MS = 20000 * Number(WAIT_FACTOR);

function expect(isSo, what) {
  if (!isSo) throw new Error(what);
}

/* ---- the shell's side ---- */

let answers;
async function run(command) {
  fs.writeSync(run.to, `${command}\n`);
  const { value } = await answers.next();
  expect(value === 'ok', `${command}: failed`);
}

function openShell() {
  if (!TO) return;
  run.to = fs.openSync(TO, 'w');
  // a read of the file system's kind would wait in a thread of its own, and keep the process from ending
  const from = new net.Socket({ fd: fs.openSync(FROM, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK), writable: false });
  answers = readline.createInterface({ input: from })[Symbol.asyncIterator]();
}

/* ---- the browser's side ---- */

class Stage {
  constructor(browser) {
    this.browser = browser;
    this.problems = [];
  }

  // A page of its own; what its console complains of is kept, as are exceptions and refusals by its policy.
  async open(options = {}, hash = '') {
    const context = await this.browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => this.problems.push(`exception: ${error.message}`));
    page.on('console', (message) => {
      // that the network failed is told by Chromium itself, whatever the page does
      if (message.type() === 'error' && !/Failed to load resource|ERR_/.test(message.text())) this.problems.push(message.text());
    });
    await page.goto(`${URL}${hash}`);
    return page;
  }

  // evaluates `look` in the page until it holds
  async until(page, what, look, argument) {
    try {
      await page.waitForFunction(look, argument, { timeout: PATIENCE_MS, polling: 50 });
    } catch (error) {
      const text = await page.evaluate(() => document.body.innerText.slice(0, 1500)).catch(() => '');
      throw new Error(`not in time: ${what}\n${error.message.split('\n')[0]}\n${text}`);
    }
  }

  // the text of `selector` matches
  async shows(page, selector, pattern) {
    await this.until(page, `${selector} shows ${pattern}`, ([sel, source]) =>
      [...document.querySelectorAll(sel)].some((element) => new RegExp(source).test(element.textContent)), [selector, pattern.source]);
  }

  async shot(page, name) {
    if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
  }

  async audit(page, what) {
    await page.evaluate(axeSource);
    const { violations, passes } = await page.evaluate(() => window.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }));
    expect(passes.length > 10, `axe looked at nothing (${what})`);
    const found = violations.flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.target.join(' ')}: ${node.failureSummary.split('\n').slice(1).join('; ')}`));
    expect(found.length === 0, `axe (${what}):\n${found.slice(0, 12).join('\n')}`);
  }
}

async function main() {
  const scenario = require('./scenarios.js')[process.argv[2]];
  expect(scenario, `there is no scenario ${process.argv[2]}`);
  openShell();
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'], timeout: 3 * PATIENCE_MS,
  });
  const stage = new Stage(browser);
  try {
    await scenario(stage, run, expect);
    expect(stage.problems.length === 0, `the page complained: ${stage.problems.join('; ')}`);
  } catch (error) {
    console.error(`FAIL: ${error.message}`);
    process.exit(1); // Chromium ends with its pipe
  }
  await browser.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(`FAIL: ${error.message}`);
  process.exit(1);
});
