// Opens a report in headless Chromium and uses it: node report.mjs REPORT.html FOLDER
//
// Fails with the first thing that is not as it should be; leaves screenshots in the folder.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page_path, folder] = process.argv.slice(2).map((path) => resolve(path));
mkdirSync(folder, { recursive: true });
const url = pathToFileURL(page_path).href;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

/** Opens the page anew, with what it says on the console and asks of a network. */
const open = async (options) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const seen = { errors: [], requests: [] };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => request.url() !== url && !request.url().startsWith("data:") && seen.requests.push(request.url()));
  await page.goto(url);
  const close = async () => {
    assert.deepEqual(seen, { errors: [], requests: [] });
    await context.close();
  };
  return { page, close };
};
const shot = (page, name, fullPage = false) => page.screenshot({ path: `${folder}/${name}.png`, fullPage });
const widest = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

const checks = {
  async "the page opens without an error and asks nothing of a network"() {
    const { page, close } = await open();
    assert.ok((await page.locator("#answers li").count()) > 0, "there are answers");
    assert.equal(await widest(page), 0, "nothing sticks out");
    await shot(page, "light");
    for (const id of ["table", "across", "scenarios", "seed", "conditions"]) {
      const section = page.locator(`#${id}`);
      if ((await section.count()) === 0) continue;
      await section.scrollIntoViewIfNeeded();
      await page.evaluate((id) => document.getElementById(id).scrollIntoView(), id);
      await page.waitForTimeout(150);
      await shot(page, `light-${id}`);
    }
    await close();
  },

  async "columns sort"() {
    const { page, close } = await open();
    const head = page.locator("#grid thead th[data-column='0']");
    const values = () => page.locator("#grid tbody tr").evaluateAll((lines) =>
      lines.map((line) => line.querySelectorAll("td")[0].dataset.value).filter((value) => value !== undefined && value !== "").map(Number));
    await head.getByRole("button").click();
    const up = await values();
    assert.deepEqual(up, [...up].sort((a, b) => a - b));
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    await head.getByRole("button").press("Enter");
    assert.deepEqual(await values(), [...up].reverse());
    await close();
  },

  async "rows and scenarios are filtered by text"() {
    const { page, close } = await open();
    const names = () => page.locator("#grid tbody tr:visible").evaluateAll((lines) => lines.map((line) => line.dataset.name));
    const every = await names();
    const wanted = every[every.length - 1];
    await page.fill("#filter-rows", wanted);
    assert.deepEqual(await names(), every.filter((name) => name.includes(wanted)));
    await page.fill("#filter-rows", "");
    const scenario = await page.locator("#grid thead th[data-scenario]").first().getAttribute("data-scenario");
    await page.fill("#filter-columns", scenario);
    const left = await page.locator("#grid thead th[data-scenario]:visible").evaluateAll((heads) => heads.map((head) => head.dataset.scenario));
    assert.ok(left.length > 0 && left.every((name) => name.includes(scenario)));
    await close();
  },

  async "a row is switched off in the table and in drawings"() {
    const { page, close } = await open();
    const lines = page.locator("#grid tbody tr:visible");
    const before = await lines.count();
    const key = page.locator("#toggles .key").last();
    await key.click();
    assert.equal(await key.getAttribute("aria-pressed"), "false");
    assert.ok((await lines.count()) <= before);
    assert.ok((await page.locator(".static svg .off").count()) > 0, "parts of drawings are hidden");
    await key.press("Space");
    assert.equal(await page.locator(".static svg .off").count(), 0);
    await close();
  },

  async "values are shown relative to a row, and by another metric"() {
    const { page, close } = await open();
    const first = page.locator("#grid tbody tr").first().locator("td").first();
    const absolute = await first.innerText();
    await page.selectOption("#relative", "0");
    const row = await page.locator("#grid tbody tr[data-row='0'] td").first().innerText();
    assert.equal(row, "+0.0 %");
    await page.selectOption("#relative", "");
    assert.equal(await first.innerText(), absolute);
    const metrics = await page.locator("#metric option").evaluateAll((options) => options.map((option) => option.value));
    for (const metric of metrics) await page.selectOption("#metric", metric);
    await shot(page, "metric");
    await close();
  },

  async "the script writes numbers as the page does"() {
    const { page, close } = await open();
    const cells = () => page.locator("#grid tbody td .value, #grid tbody td:not(:has(.value))").allInnerTexts();
    const written = await cells();
    // Another metric and back: what is computed for the first column has to be what stood there.
    const metric = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).grid.columns[0].ranking);
    await page.selectOption("#metric", metric);
    await page.evaluate(() => document.getElementById("metric").dispatchEvent(new Event("change")));
    const computed = await cells();
    const same = written.filter((text, place) => text.replace(" !", "") === computed[place]?.replace(" !", "")).length;
    assert.ok(same > 0, "some cells are of this metric");
    await close();
  },

  async "a pointer is told the numbers of the record"() {
    const { page, close } = await open();
    const title = await page.locator("#grid tbody td[title]").first().getAttribute("title");
    await page.locator("#grid tbody td[title]").first().hover();
    assert.equal(await page.locator("#cell-detail").innerText(), title);
    const charts = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).charts);
    const dots = charts.find((chart) => chart.spots?.length > 0);
    if (dots) {
      const figure = page.locator(`[id="${dots.id}"]`);
      await figure.scrollIntoViewIfNeeded();
      const svg = figure.locator("svg");
      const [x, y, , text] = dots.spots[0];
      const scale = await svg.evaluate((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width);
      await svg.hover({ position: { x: x * scale, y: y * scale } });
      assert.ok(dots.spots.map((spot) => spot[3]).includes(await page.locator("#tip").innerText()), text);
      await shot(page, "hover-dots");
    }
    const lines = charts.find((chart) => chart.series);
    if (lines) {
      const figure = page.locator(`[id="${lines.id}"]`);
      await figure.scrollIntoViewIfNeeded();
      await figure.locator(".u-over").hover();
      const told = await page.locator("#tip").innerText();
      const names = await page.locator("#toggles .key").allInnerTexts();
      assert.ok(names.some((name) => told.startsWith(name)), told);
      await shot(page, "hover-lines");
    }
    await close();
  },

  async "a chart zooms and goes back"() {
    const { page, close } = await open();
    const figure = page.locator("figure.moves").first();
    if ((await figure.count()) > 0) {
      await figure.scrollIntoViewIfNeeded();
      const box = await figure.locator(".u-over").boundingBox();
      await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.3);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.6, { steps: 4 });
      await page.mouse.up();
      await shot(page, "zoomed");
      await page.mouse.dblclick(box.x + box.width / 2, box.y + box.height / 2);
    }
    await close();
  },

  async "the table is used by keyboard alone"() {
    const { page, close } = await open();
    const cell = page.locator("#grid tbody td[tabindex='0']").first();
    await cell.focus();
    await page.keyboard.press("ArrowDown");
    const focused = await page.evaluate(() => [document.activeElement.tagName, document.activeElement.title]);
    assert.equal(focused[0], "TD");
    if (focused[1]) assert.equal(await page.locator("#cell-detail").innerText(), focused[1]);
    await close();
  },

  async "the page is complete without scripts"() {
    const { page, close } = await open({ javaScriptEnabled: false });
    assert.equal(await page.locator("#toggles").isVisible(), false);
    const drawings = page.locator(".static svg");
    assert.ok((await drawings.count()) > 0);
    assert.equal(await drawings.first().isVisible(), true);
    assert.equal(await page.locator("#grid tbody td .value").first().isVisible(), true);
    await shot(page, "no-script", true);
    await close();
  },

  async "the page is dark where that is wanted"() {
    const { page, close } = await open({ colorScheme: "dark" });
    const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(back, "rgb(20, 23, 27)");
    await shot(page, "dark");
    await page.evaluate(() => document.getElementById("scenarios").scrollIntoView());
    await page.waitForTimeout(150);
    await shot(page, "dark-scenarios");
    await close();
  },

  async "the page fits a telephone"() {
    const { page, close } = await open({ viewport: { width: 380, height: 800 }, hasTouch: true });
    assert.equal(await widest(page), 0, "nothing sticks out");
    await shot(page, "phone");
    for (const id of ["table", "scenarios"]) {
      await page.evaluate((id) => document.getElementById(id).scrollIntoView(), id);
      await page.waitForTimeout(150);
      assert.equal(await widest(page), 0, `nothing sticks out in ${id}`);
      await shot(page, `phone-${id}`);
    }
    await close();
  },

  async "the page prints"() {
    const { page, close } = await open();
    await page.emulateMedia({ media: "print" });
    assert.equal(await page.locator("#toggles").isVisible(), false);
    await shot(page, "print");
    await page.pdf({ path: `${folder}/print.pdf`, format: "A4" });
    await close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED: ${name}: ${error.message}`);
  }
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
