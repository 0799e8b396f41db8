// Drives the staff page of a running product in headless Chromium and says whether it keeps its word.
//
//   node page.mjs STEP BASE_URL OUTPUT_DIR [--point ID] [--scenario NAME] [--alarm PREFIX] [--by NAME]
//
// STEP is one of these, or some of them with commas between, in one browser
//   live    a measured value changes by itself, and its age stays young
//   ack     starts a scenario (leak), sees its alarm, acknowledges it with a name, and finds it under
//           "in progress" with its owner; shelves it, and finds it named on the home view
//   flood   shows ten thousand alarms, made of one that stands, within a second
//   limits  tries a limit on the past, saves it with a reason, and finds who changed it
//   nodata  waits until a point is shown as missing, with a reason and without a number; whoever calls
//           this has stopped the node
//   lost    waits until the page says that it has lost the controller; whoever calls this has stopped it
//   words   every view is English, reachable, with a title of its own; the choice survives a reload
//   phone   the page fits 390 px without scrolling sideways
//   contract  the API document of the product is the one from which the page's types are made
//   all     contract, live, words, phone, limits, ack, flood
// Every step saves OUTPUT_DIR/STEP.png (also when it fails), runs axe-core, and fails on a request to a
// foreign origin, an error on the console, or a serious violation. Exit 0 when it held, 1 when not,
// 2 when it was called wrongly. It never waits longer than STEP_WITHIN for anything.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

/** Longest wait for one condition, milliseconds. */
const STEP_WITHIN = Number(process.env.STEP_WITHIN_MS ?? 60_000);
/** Longest life of this program, milliseconds. */
const PROGRAM_WITHIN = 10 * STEP_WITHIN;
/** A live value is never older than this, milliseconds of shown age. */
const YOUNG_S = 60;
/** Chromium's own look-ups would be requests of a machine that is to make none. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Alarms of a flood. */
const FLOOD = 10_000;
/** Longest wait for the first page of them, milliseconds; a second where nothing else runs on the machine. */
const FLOOD_WITHIN = Number(process.env.FLOOD_WITHIN_MS ?? 4_000);
const WALL = { width: 1920, height: 1080 };
const PHONE = { width: 390, height: 844 };

class Broken extends Error {}

const STEPS = { live, ack, flood, limits, nodata, lost, words, phone, contract };

/** A value that a sensor measures changes while we look, and it is young. */
async function live(page) {
  const tile = page.locator('.tile:not(.missing):has(.unit)');
  await seen(tile.first(), 'no point shows a value with a unit');
  const read = () =>
    page.$$eval('.tile:not(.missing)', (tiles) =>
      Object.fromEntries(tiles.map((t) => [t.dataset.point, t.querySelector('.value')?.innerText ?? ''])),
    );
  const before = await read();
  const changed = await until(async () => {
    const after = await read();
    return Object.keys(after).find((id) => before[id] !== undefined && after[id] !== before[id]);
  }, 'no value changed');
  await seen(page.locator('[data-link="live"]'), 'the page does not say that it is live');
  const after = await read();
  const age = await page.locator(`[data-point="${changed}"] .age`).innerText();
  const seconds = /^(\d+)(秒| s)/.exec(age)?.[1];
  if (seconds === undefined || Number(seconds) > YOUNG_S)
    throw new Broken(`${changed} is shown with the age ${age}`);
  return `${changed} went from ${flat(before[changed])} to ${flat(after[changed])}, ${age}`;
}

/** Scenario, alarm, acknowledgement, owner: seen at home, taken there, and found where it belongs. */
async function ack(page, { scenario, alarm, by }) {
  await page.locator(`[data-scenario="${scenario}"]`).click(patience());
  const home = page.locator('[data-view="room"]');
  const card = home.locator(`[data-alarm^="${alarm}"][data-state="unacknowledged"]`).first();
  await seen(card, `no unacknowledged alarm ${alarm}… after the scenario ${scenario}`);
  const id = await card.getAttribute('data-alarm');
  const what = flat(await card.locator('strong').first().innerText());
  await page.screenshot({ path: page.shot('ack-raised') });
  await home.locator(`[data-alarm="${id}"] button.primary`).click(patience());
  const name = page.locator('dialog [data-field="name"]');
  await seen(name, 'the page did not ask who acknowledges');
  await name.fill(by);
  await page.locator('dialog [data-ok]').click(patience());
  // By the keyboard alone from here on: the view, then its tab.
  await page.locator('[data-nav="alarms"]').press('Enter');
  await until(
    () => page.evaluate(() => document.activeElement?.getAttribute('data-view') === 'alarms'),
    'the focus did not follow to the alarms',
  );
  await page.locator('[role="tab"][aria-selected="true"]').focus();
  await until(async () => {
    if (await page.locator('[data-tab="owned"][aria-selected="true"]').count()) return true;
    await page.keyboard.press('ArrowRight');
    return false;
  }, 'the arrow keys do not reach "in progress"');
  const owned = page.locator(`[data-panel="owned"] [data-alarm="${id}"][data-state="acknowledged"]`);
  await seen(owned, `${id} did not come under "in progress"`);
  const owner = flat(await owned.locator('[data-owner]').innerText());
  if (owner !== by) throw new Broken(`${id} is owned by "${owner}", not by "${by}"`);
  await owned.scrollIntoViewIfNeeded();
  await page.screenshot({ path: page.shot('ack-owned') });
  // Put away for a while: the home view says so for as long as it lasts.
  await owned.locator('[data-shelve]').click(patience());
  await page.locator('dialog [data-field="reason"]').fill('床下を拭いている');
  await page.locator('dialog [data-ok]').click(patience());
  await page.locator('[data-nav="room"]').click(patience());
  await seen(page.locator('[data-view="room"] [data-away]'), 'the home view does not list what was put away');
  const away = flat(await page.locator('[data-view="room"] [data-away]').innerText());
  if (!away.includes(what)) throw new Broken(`the home view lists "${away}", and not ${what}`);
  return `${id} (${what}) was in progress, owner ${owner}, and is listed as put away`;
}

/**
 * Ten thousand alarms, made of one that stands: how long the page takes from the moment they have reached the
 * browser until the first of them can be read, and until a group of them is open.
 */
async function flood(page) {
  await page.addInitScript((count) => {
    const real = globalThis.fetch;
    let told = false;
    globalThis.fetch = async (path, options) => {
      if (path !== '/api/v1/stream') return real(path, options);
      // Told once; the page then waits for the next word, as it does when nothing changes.
      if (told) return new Promise(() => undefined);
      told = true;
      const picture = await (await real('/api/v1/snapshot')).json();
      const one = picture.alarms[0];
      picture.alarms = Array.from({ length: one ? count : 0 }, (_, i) => ({
        ...one,
        id: `flood.${i}`,
        state: 'unacknowledged',
        owner: null,
        priority: i % 100 === 0 ? 'critical' : 'advisory',
      }));
      const bytes = new TextEncoder().encode(`event: snapshot\ndata: ${JSON.stringify(picture)}\n\n`);
      const seen = () => {
        if (!document.querySelector('[data-view="alarms"] [data-alarm]')) return requestAnimationFrame(seen);
        globalThis.floodShown = performance.now() - globalThis.floodBegun;
      };
      return new Response(
        new ReadableStream({
          start(controller) {
            globalThis.floodBegun = performance.now();
            for (let at = 0; at < bytes.length; at += 65536) controller.enqueue(bytes.slice(at, at + 65536));
            requestAnimationFrame(seen);
          },
        }),
      );
    };
  }, FLOOD);
  await page.goto(`${page.url().split('#')[0]}#/alarms`);
  await page.reload();
  await seen(page.locator('[data-view="alarms"] [data-alarm]'), 'the flood was not shown');
  const shown = await until(() => page.evaluate(() => globalThis.floodShown), 'the flood was not measured');
  const cards = await page.locator('[data-view="alarms"] [data-alarm]').count();
  if (cards > 10) throw new Broken(`${cards} alarms of a flood are shown singly`);
  const opened = await page.evaluate(async () => {
    const summary = [...document.querySelectorAll('[data-group] > details > summary')].at(-1);
    const begun = performance.now();
    summary.click();
    while (!summary.parentElement.querySelector('[data-row]')) await new Promise(requestAnimationFrame);
    return performance.now() - begun;
  });
  const rows = await page.locator('[data-row]').count();
  if (rows > 100) throw new Broken(`${rows} rows of a flood are drawn at once`);
  const said = `${FLOOD} alarms: the first can be read ${shown.toFixed()} ms after they came, a group opens in ${opened.toFixed()} ms`;
  if (shown > FLOOD_WITHIN || opened > FLOOD_WITHIN) throw new Broken(said);
  return said;
}

/** A point is missing: it says why, and shows no number. */
async function nodata(page, { point }) {
  if (!point) throw new Broken('nodata needs --point ID');
  const tile = page.locator(`[data-point="${point}"]`);
  await seen(tile, `the page has no point ${point}`);
  await seen(page.locator(`[data-point="${point}"].missing`), `${point} is still shown with a value`);
  const reason = flat(await tile.locator('.reason').innerText());
  if (reason === '') throw new Broken(`${point} is missing without a reason`);
  if (await tile.locator('.value').count()) throw new Broken(`${point} is missing and shows a value as well`);
  const overall = await page.locator('[data-overall]').getAttribute('data-overall');
  if (overall === 'normal') throw new Broken(`${point} is missing and the room is called normal`);
  await tile.scrollIntoViewIfNeeded();
  return `${point} is missing: ${reason}; the room is called ${overall}`;
}

/** Without the controller nothing may look normal. */
async function lost(page) {
  await seen(page.locator('[data-lost]'), 'the page does not say that it has lost the controller');
  const overall = await page.locator('[data-overall]').getAttribute('data-overall');
  if (overall !== 'lost') throw new Broken(`the controller is lost and the room is called ${overall}`);
  return flat(await page.locator('[data-lost] strong').innerText());
}

/** The other language, that it is remembered, and every view in it: title, focus, accessibility. */
async function words(page) {
  await page.locator('button[lang="en"]').click(patience());
  await until(() => page.evaluate(() => document.documentElement.lang === 'en'), 'the page stayed Japanese');
  await page.reload({ waitUntil: 'domcontentloaded' });
  await seen(page.locator('[data-link="live"]'), 'the page did not come back after a reload');
  const views = await page.$$eval('[data-nav]', (links) => links.map((link) => link.dataset.nav));
  const titles = new Set();
  for (const view of views) {
    await page.locator(`[data-nav="${view}"]`).click(patience());
    const shown = page.locator(`[data-view="${view}"]:not([hidden])`);
    await seen(shown, `the view ${view} is not shown`);
    await until(
      () =>
        shown.evaluate((section) => section === document.activeElement || section.dataset.view === 'room'),
      `the focus did not go to ${view}`,
    );
    titles.add(await page.title());
    const found = await violations(page);
    if (found.length > 0) throw new Broken(`${view}: axe: ${found.join('; ')}`);
    const left = await page.evaluate(() => {
      const clone = document.body.cloneNode(true);
      clone.querySelectorAll('[lang="ja"], script, noscript, .by').forEach((node) => node.remove());
      return [...new Set(clone.textContent.match(/[぀-ヿ一-龯]+/g) ?? [])];
    });
    if (left.length > 0) throw new Broken(`the English ${view} says ${left.slice(0, 8).join(', ')}`);
  }
  if (titles.size !== views.length) throw new Broken(`views share a title: ${[...titles].join(', ')}`);
  return `${views.length} views are English and stay so`;
}

/** A limit is tried on the past, saved with a reason, and the change is listed with who and why. */
async function limits(page, { by }) {
  await page.locator('[data-nav="limits"]').click(patience());
  const first = page.locator('[data-limit] a').first();
  await seen(first, 'no limit is listed');
  await first.click(patience());
  const value = page.locator('[data-value="limit"]');
  await seen(value, 'the limit did not open');
  const before = Number(await value.inputValue());
  await value.fill(String(before + 1));
  const save = page.locator('[data-save]');
  if (!(await save.isDisabled())) throw new Broken('a limit can be saved without having been tried');
  // What is half typed survives a look at another view.
  await page.locator('[data-nav="equipment"]').click(patience());
  await page.locator('[data-nav="limits"]').click(patience());
  await seen(value, 'the limit was not there any more');
  if (Number(await value.inputValue()) !== before + 1) throw new Broken('what was typed is lost');
  await page.locator('[data-try]').click(patience());
  await seen(page.locator('[data-preview]'), 'the preview said nothing');
  const said = flat(await page.locator('[data-preview] .summary').innerText());
  await page.screenshot({ path: page.shot('limits-tried') });
  await save.click(patience());
  await page.locator('dialog [data-field="reason"]').fill('季節の切り替え');
  await page.locator('dialog [data-field="name"]').fill(by);
  await page.locator('dialog [data-ok]').click(patience());
  await until(
    async () =>
      (
        await page
          .locator('[data-changes]')
          .first()
          .innerText()
          .catch(() => '')
      ).includes(by),
    'the change is not listed with its name',
  );
  return `${before} → ${before + 1}: ${said}`;
}

async function phone(page) {
  await page.setViewportSize(PHONE);
  await seen(page.locator('[data-link="live"]'), 'the page is not live');
  const over = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  if (over > 0) throw new Broken(`the page is ${over} px wider than a phone`);
  return 'nothing is wider than a phone';
}

/** Words and limits may change without the page; names, types and what is required may not. */
function bare(schema) {
  if (Array.isArray(schema)) return schema.map(bare);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => {
    const words = ['description', 'summary', 'example', 'title'].includes(key) && typeof value === 'string';
    return !words && !(typeof value === 'number' && /^(min|max)/.test(key));
  });
  return Object.fromEntries(kept.map(([key, value]) => [key, bare(value)]));
}

/** Else the page would be checked against types that the controller no longer speaks. */
async function contract(page) {
  const spoken = await page.evaluate(() => fetch('/api/openapi.json').then((answer) => answer.json()));
  const file = new URL('../../controller/ui/openapi.json', import.meta.url);
  const known = JSON.parse(readFileSync(file, 'utf8'));
  const fields = (document) => ({
    methods: Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    ),
    schemas: bare(document.components.schemas),
  });
  if (!isDeepStrictEqual(fields(spoken), fields(known))) {
    throw new Broken(
      'the API changed: UPDATE_EXPECT=1 cargo test -p controller the_committed_document, then npm run check in controller/ui',
    );
  }
  return 'the API is the one the page knows';
}

const flat = (text) => text.replace(/\s+/g, ' ').trim();
const patience = () => ({ timeout: STEP_WITHIN });

async function seen(locator, otherwise) {
  await locator
    .first()
    .waitFor({ state: 'visible', ...patience() })
    .catch(() => {
      throw new Broken(`${otherwise} (waited ${STEP_WITHIN / 1000} s)`);
    });
}

async function until(condition, otherwise) {
  const end = performance.now() + STEP_WITHIN;
  while (performance.now() < end) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Broken(`${otherwise} (waited ${STEP_WITHIN / 1000} s)`);
}

/** Serious and critical violations of WCAG 2.0, 2.1 and 2.2, A and AA. */
async function violations(page) {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  // By the debugger's own channel: the page's security policy rightly refuses foreign scripts.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  );
  return violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map(
      (v) =>
        `${v.id} (${v.impact}): ${v.nodes
          .slice(0, 3)
          .map((n) => n.target.join(' '))
          .join('; ')}`,
    );
}

async function run(name, browser, base, output, options) {
  const context = await browser.newContext({ viewport: WALL });
  const page = await context.newPage();
  page.shot = (shot) => path.join(output, `${shot}.png`);
  const complaints = [];
  const origin = new URL(base).origin;
  // A page that is to see its controller die will see requests fail.
  const mayFail = name === 'lost';
  page.on('request', (r) => {
    if (!['data:', 'blob:'].includes(new URL(r.url()).protocol) && new URL(r.url()).origin !== origin) {
      complaints.push(`asked a foreign origin: ${r.url()}`);
    }
  });
  page.on('console', (m) => {
    if (m.type() === 'error' && !(mayFail && m.text().startsWith('Failed to load'))) {
      complaints.push(`console: ${m.text()} ${m.location().url ?? ''}`);
    }
  });
  page.on('pageerror', (e) => complaints.push(`error on the page: ${e.message}`));
  let said = '';
  try {
    await page.goto(base, { waitUntil: 'domcontentloaded', ...patience() });
    await seen(
      page.locator('[data-link="live"], [data-lost]'),
      'the page neither came alive nor said why not',
    );
    said = await STEPS[name](page, options);
    complaints.push(...(await violations(page)).map((v) => `axe: ${v}`));
  } catch (error) {
    complaints.unshift(error instanceof Broken ? error.message : String(error));
  }
  await page
    .screenshot({ path: page.shot(name) })
    .catch((error) => complaints.push(`no screenshot: ${error}`));
  await context.close();
  for (const complaint of complaints) console.error(`${name}: ${complaint}`);
  if (complaints.length === 0) console.log(`${name}: ${said}`);
  return complaints.length === 0;
}

async function main() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      point: { type: 'string' },
      scenario: { type: 'string', default: 'leak' },
      alarm: { type: 'string', default: 'leak' },
      by: { type: 'string', default: '施設課 佐藤' },
    },
  });
  const [step, base, output] = positionals;
  const steps =
    step === 'all'
      ? ['contract', 'live', 'words', 'phone', 'limits', 'ack', 'flood']
      : (step ?? '').split(',');
  if (!base || !output || !steps.every((name) => Object.hasOwn(STEPS, name))) {
    console.error(
      `usage: node page.mjs ${Object.keys(STEPS).join('|')}|all[,...] BASE_URL OUTPUT_DIR [--point ID]`,
    );
    return 2;
  }
  mkdirSync(output, { recursive: true });
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: QUIET });
  const late = setTimeout(() => {
    console.error(`${step}: not done after ${PROGRAM_WITHIN / 1000} s`);
    void browser.close().finally(() => process.exit(1));
  }, PROGRAM_WITHIN);
  try {
    let held = true;
    for (const name of steps) held = (await run(name, browser, base, output, values)) && held;
    return held ? 0 : 1;
  } finally {
    clearTimeout(late);
    await browser.close();
  }
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(String(error));
    process.exit(1);
  },
);
