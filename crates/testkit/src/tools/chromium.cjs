// Chromium, driven by its own protocol over a pipe: https://chromedevtools.github.io/devtools-protocol. No package is needed for that.
"use strict";

const { spawn } = require("node:child_process");

/** How long anything may take, on a busy machine. */
const PATIENCE = 60_000;

/** Starts the browser. `arguments` are those of every browser of ours. */
const start = (program, programArguments) => {
  const child = spawn(program, [...programArguments, "--remote-debugging-pipe"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const [, , , input, output] = child.stdio;
  const waiting = new Map();
  const listeners = new Set();
  let number = 0;
  let unread = "";
  output.on("data", (piece) => {
    const messages = (unread + piece).split("\0");
    unread = messages.pop();
    for (const message of messages.map((text) => JSON.parse(text))) {
      const settle = waiting.get(message.id);
      waiting.delete(message.id);
      if (settle) settle(message);
      else for (const listener of listeners) listener(message);
    }
  });
  const send = (method, params = {}, sessionId = undefined) =>
    new Promise((done, fail) => {
      const id = ++number;
      const timer = setTimeout(() => fail(new Error(`${method} was not answered`)), PATIENCE);
      waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        if (error) fail(new Error(`${method}: ${error.message}`));
        else done(result);
      });
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  const stop = async () => {
    await send("Browser.close").catch(() => {});
    child.kill();
  };
  return { send, listeners, stop };
};

/** A tab of its own, with cookies of its own. `look`: { width, height, dark }. */
const tab = async (browser, look) => {
  const { browserContextId } = await browser.send("Target.createBrowserContext");
  const { targetId } = await browser.send("Target.createTarget", { url: "about:blank", browserContextId });
  const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => browser.send(method, params, sessionId);
  /** What the browser complains of: errors of scripts, refused and failed requests. */
  const complaints = [];
  let loaded = () => {};
  browser.listeners.add(({ method, params, sessionId: from }) => {
    if (from !== sessionId) return;
    if (method === "Page.loadEventFired") loaded();
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") complaints.push(JSON.stringify(params.args));
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  });
  for (const domain of ["Page", "Runtime", "Log"]) await send(`${domain}.enable`);
  const { width, height, dark = false } = look;
  await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });

  /** Answers what an expression comes to, which may be a promise. */
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression.slice(0, 200)}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  };
  /** Does something that opens another page, and waits for that. */
  const opening = async (act) => {
    let timer;
    const load = new Promise((done, fail) => {
      loaded = done;
      timer = setTimeout(() => fail(new Error("no page was opened")), PATIENCE);
    });
    await act();
    await load;
    clearTimeout(timer);
  };
  const open = (address) => opening(() => send("Page.navigate", { url: address }));
  /** Polls until an expression is true. */
  const until = async (expression) => {
    const deadline = Date.now() + PATIENCE;
    while (!(await evaluate(expression).catch(() => false))) {
      if (Date.now() > deadline) throw new Error(`not in time: ${expression}: ${await evaluate("document.body.innerText")}`);
      await new Promise((passed) => setTimeout(passed, 25));
    }
  };
  /** Clicks the middle of what an expression finds, as a person does. */
  const click = async (expression) => {
    const place = await evaluate(`(() => {
      const element = ${expression};
      if (!element) return null;
      element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
      const box = element.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    })()`);
    if (!place) throw new Error(`nothing to click: ${expression}: ${await evaluate("document.body.innerText")}`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await send("Input.dispatchMouseEvent", { type, ...place, button: "left", clickCount: 1 });
    }
  };
  const screenshot = async (options) => Buffer.from((await send("Page.captureScreenshot", { format: "png", ...options })).data, "base64");
  const close = () => browser.send("Target.disposeBrowserContext", { browserContextId });
  return { send, evaluate, open, opening, until, click, screenshot, complaints, close };
};

/** Signs in by the form. */
const signIn = async (page, url, user) => {
  await page.open(`${url}/dashboard/sign-in`);
  await page.evaluate(`(() => {
    document.querySelector("[name=username]").value = ${JSON.stringify(user.name)};
    document.querySelector("[name=password]").value = ${JSON.stringify(user.password)};
  })()`);
  await page.opening(() => page.click(`document.querySelector("form.sign-in button")`));
};

module.exports = { start, tab, signIn };
