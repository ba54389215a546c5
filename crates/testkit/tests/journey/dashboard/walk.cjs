// Walks through the pages of operators in Chromium as a person does, and looks closely at each. Reads from a file what to do and
// prints what it found; the test says whether that is right.
"use strict";

const fs = require("node:fs");

const { driver, browser: program, programArguments, url, user, look, steps } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const { start, tab, signIn } = require(driver);
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const button = (label) =>
  `[...document.querySelectorAll("main button, main a, nav a, header button")].find((one) => one.textContent.trim() === ${JSON.stringify(label)} && one.getClientRects().length > 0)`;

/** What is wrong with the page that is open. */
const inspect = async (page, excused) => {
  await page.evaluate(`(() => { if (!window.axe) { ${axe} } })()`);
  const wrong = await page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => id + ": " + node.html.slice(0, 160) + " " + (node.any[0]?.message ?? ""))))`);
  const overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  if (overflow > 0) {
    const widest = await page.evaluate(`[...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, .top nav")).map((one) => one.outerHTML.slice(0, 120))[0] ?? ""`);
    wrong.push(`the page is ${overflow} pixels wider than the screen: ${widest}`);
  }
  return [...wrong, ...(excused ? [] : page.complaints.splice(0))];
};

const perform = async (page, { open, press, fill = {}, confirms = false, offline, until, script, picture }) => {
  if (offline) {
    await page.send("Network.enable");
    await page.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }
  if (open) await page.open(url + open);
  for (const [selector, value] of Object.entries(fill)) {
    await page.evaluate(`(() => { const field = document.querySelector(${JSON.stringify(selector)}); field.value = ${JSON.stringify(value)}; })()`);
  }
  if (press && !confirms) await page.opening(() => page.click(button(press)));
  if (press && confirms) {
    await page.click(button(press));
    await page.until(`document.getElementById("confirm").open`);
    await page.opening(() => page.click(`document.querySelector("#confirm button[value=yes]")`));
  }
  if (until) await page.until(until);
  const said = script ? await page.evaluate(script) : null;
  if (picture) fs.writeFileSync(picture, await page.screenshot());
  return said;
};

const main = async () => {
  const browser = start(program, programArguments);
  const found = [];
  try {
    const page = await tab(browser, look);
    await signIn(page, url, user);
    for (const step of steps) {
      const said = await perform(page, step);
      const title = await page.evaluate(`document.querySelector("h1")?.textContent ?? ""`);
      found.push({ title, said, path: await page.evaluate("location.pathname"), wrong: await inspect(page, step.offline || step.complains) });
      // Without a network, or a token, there is something to complain of.
      if (step.offline || step.complains) page.complaints.length = 0;
    }
  } catch (error) {
    found.push({ failed: String(error) });
  } finally {
    await browser.stop();
  }
  console.log(JSON.stringify(found));
};

main();
