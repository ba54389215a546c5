// Sends requests with fetch, all at once, and prints what each is answered.

import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

async function* inPieces(content, rate) {
  const size = rate ? rate >> 3 : 65536;
  for (let at = 0; at < content.length; at += size) {
    if (rate) await setTimeout((size / rate) * 1000);
    yield content.subarray(at, at + size);
  }
}

async function send({ method, url, headers, file, rate, declared }) {
  // fetch declares only a length that it finds out itself.
  const content = readFileSync(file);
  const body = declared ? content : inPieces(content, rate);
  const answer = await fetch(url, { method, headers, body, duplex: "half", signal: AbortSignal.timeout(60_000) });
  return `${answer.status} ${(await answer.json()).type}`;
}

const requests = JSON.parse(readFileSync(process.argv[2]));
const tried = requests.map((request) => send(request).catch((error) => `${error}: ${error.cause}`));
console.log(JSON.stringify(await Promise.all(tried)));
process.exit(0);
