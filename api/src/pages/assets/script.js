// Keeps an open page up to date, asks before something is changed, and says how long ago times are. Without it pages work too.
"use strict";

const content = document.getElementById("content");
const live = document.getElementById("live");

// --- times -----------------------------------------------------------------------------------------------------------------------

// By the server's clock: this machine's may be wrong.
let ahead = 0;
const noteServerTime = (answer) => {
  const told = Date.parse(answer.headers.get("date") ?? "");
  if (!Number.isNaN(told)) ahead = told - Date.now();
};

const relative = (ms) => {
  const seconds = Math.round(Math.abs(ms) / 1000);
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, name] = units.find(([size]) => seconds >= size) ?? [1, "s"];
  const text = `${Math.floor(seconds / size)} ${name}`;
  return ms > 1000 ? `in ${text}` : `${text} ago`;
};

const tellTimes = () => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const text = relative(Date.parse(time.dateTime) - Date.now() - ahead);
    let ago = time.nextElementSibling;
    if (!ago?.classList.contains("ago")) {
      ago = document.createElement("span");
      ago.className = "ago";
      time.after(" ", ago);
    }
    if (ago.textContent !== text) ago.textContent = text;
  }
};

// --- questions -------------------------------------------------------------------------------------------------------------------

const dialog = document.getElementById("confirm");
let asking = null;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.elements.namedItem("confirmed")) return;
  event.preventDefault();
  asking = form;
  document.getElementById("confirm-text").textContent = form.dataset.confirm;
  dialog.returnValue = "no";
  dialog.showModal();
});

dialog?.addEventListener("close", () => {
  const form = asking;
  asking = null;
  if (!form || dialog.returnValue !== "yes") return;
  const confirmed = document.createElement("input");
  Object.assign(confirmed, { type: "hidden", name: "confirmed", value: "yes" });
  form.append(confirmed);
  form.requestSubmit();
});

// --- what is on the page is replaced where it differs ----------------------------------------------------------------------------

const isSame = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id ?? "") === (other.id ?? "");

// What a person has opened, filled in or is reading stays.
const keeps = (element, name) => name === "open" && element.nodeName === "DETAILS";

const adopt = (old, fresh) => {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !keeps(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  adoptChildren(old, fresh);
};

// Elements by their ids, wherever they stood: what has moved down the page stays the same element, opened or not.
let named = new Map();

const adoptChildren = (old, fresh) => {
  // What the script itself has added is not compared.
  for (const ago of old.querySelectorAll(":scope > .ago")) {
    ago.previousSibling?.nodeType === Node.TEXT_NODE && ago.previousSibling.nodeValue === " " && ago.previousSibling.remove();
    ago.remove();
  }
  let place = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const before = node.id ? named.get(node.id) : undefined;
    if (before && before !== place && isSame(before, node)) {
      old.insertBefore(before, place);
      adopt(before, node);
    } else if (place && isSame(place, node)) {
      adopt(place, node);
      place = place.nextSibling;
    } else {
      old.insertBefore(node, place);
      if (place && place.nodeType === node.nodeType) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
};

// --- live ------------------------------------------------------------------------------------------------------------------------

const replace = (fresh) => {
  const active = document.activeElement;
  named = new Map([...content.querySelectorAll("[id]")].map((element) => [element.id, element]));
  adoptChildren(content, fresh);
  named = new Map();
  // Whoever moves loses it.
  if (active !== document.activeElement && content.contains(active)) active.focus({ preventScroll: true });
};

const signIn = () => {
  const here = location.pathname + location.search;
  location.assign(`/dashboard/sign-in?next=${encodeURIComponent(here)}`);
};

// An access token lasts minutes. Tabs wait for each other: what one of them has renewed is renewed for all.
const renew = () => navigator.locks.request("steep-session", async () => {
  const answer = await fetch("/api/v1/users/refresh-token", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  if (answer.status === 401) signIn();
  return answer.ok;
});

let tag = "";
let lastLook = 0;
let isLooking = false;

const tell = (isOn) => {
  live.classList.toggle("on", isOn);
  const since = new Date(lastLook + ahead).toISOString().slice(11, 19);
  const text = isOn ? "Live" : `Not live since ${since} UTC`;
  if (live.textContent !== text) live.textContent = text;
};

const look = async () => {
  if (isLooking || document.hidden || dialog.open || asking) return;
  isLooking = true;
  try {
    const address = new URL(location.href);
    address.hash = "";
    address.searchParams.set("fragment", "");
    const ask = () => fetch(address, { headers: tag ? { "if-none-match": tag } : {}, cache: "no-store" });
    let answer = await ask();
    if (answer.status === 401 && (await renew())) answer = await ask();
    noteServerTime(answer);
    if (answer.status === 200) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (dialog.open) return;
      tag = answer.headers.get("etag") ?? "";
      replace(document.adoptNode(fresh.body));
      tellTimes();
    }
    if (answer.status === 200 || answer.status === 304) {
      lastLook = Date.now();
      tell(true);
    }
  } catch {
    // The server is away. What is shown says since when.
  } finally {
    isLooking = false;
  }
};

const listen = () => {
  const stream = new EventSource("/dashboard/live");
  stream.addEventListener("look", look);
  stream.addEventListener("error", async () => {
    // A stream that has ended is opened again by the browser, one that was refused is not.
    if (stream.readyState !== EventSource.CLOSED) return;
    const isRenewed = await renew().catch(() => false);
    setTimeout(listen, isRenewed ? 0 : 5000);
  });
};

if (content && "live" in content.dataset) {
  lastLook = Date.now();
  tell(true);
  listen();
  setInterval(() => {
    if (!document.hidden && Date.now() - lastLook > 8000) tell(false);
  }, 1000);
  document.addEventListener("visibilitychange", look);
}

tellTimes();
setInterval(tellTimes, 1000);
