// BullMQ: `load`, `work AT_ONCE`, `accept COUNT AT_ONCE`.
import { createHash } from "node:crypto";
import { readFile, unlink } from "node:fs/promises";
import http from "node:http";
import { createInterface } from "node:readline";

import { Queue, Worker } from "bullmq";
import { MongoClient, ObjectId } from "mongodb";

const { API_KEY, API_SECRET, MONGODB_DATABASE, MONGODB_URI, REDIS_URL, SPOOL, UPLOAD_URL } = process.env;
const QUEUE = "peers";
const redis = new URL(REDIS_URL);
const connection = { host: redis.hostname, port: Number(redis.port), maxRetriesPerRequest: null };
// What is known about a job is in MongoDB.
const options = { removeOnComplete: true };
const client = new MongoClient(MONGODB_URI, { writeConcern: { w: "majority" } });
const [jobs, assets, users] = ["jobs", "assets", "users"].map((name) => client.db(MONGODB_DATABASE).collection(name));
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const part = (name) => `--peers\r\ncontent-disposition: form-data; name="${name}"`;
const tail = Buffer.from("\r\n--peers--\r\n");

// A signed form with the file, built by hand: FormData costs another millisecond.
function send(publicId, file) {
  const timestamp = Math.floor(Date.now() / 1000);
  const signed = `public_id=${publicId}&timestamp=${timestamp}${API_SECRET}`;
  const signature = createHash("sha1").update(signed).digest("hex");
  const fields = Object.entries({ public_id: publicId, timestamp, api_key: API_KEY, signature });
  const head = Buffer.from(
    fields.map(([name, value]) => `${part(name)}\r\n\r\n${value}\r\n`).join("") +
      `${part("file")}; filename="a.jpg"\r\ncontent-type: image/jpeg\r\n\r\n`,
  );
  const length = head.length + file.length + tail.length;
  const headers = { "content-type": "multipart/form-data; boundary=peers", "content-length": length };
  return new Promise((resolve, reject) => {
    const request = http.request(UPLOAD_URL, { method: "POST", agent, headers }, (reply) => {
      const pieces = [];
      reply.on("data", (piece) => pieces.push(piece));
      reply.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        if (reply.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(text));
      });
    });
    request.on("error", reject);
    request.write(head);
    request.write(file);
    request.end(tail);
  });
}

async function perform({ data: { job, asset, owner } }) {
  const known = { _id: job, state: { $in: ["queued", "running"] } };
  await jobs.updateOne(known, { $set: { state: "running", startedAt: new Date() }, $inc: { attempt: 1 } });
  const path = `${SPOOL}/${job}`;
  const { secure_url: url, etag } = await send(asset, await readFile(path));
  await assets.updateOne({ _id: new ObjectId(asset) }, { $set: { state: "ready", url, etag } });
  await users.updateOne({ _id: new ObjectId(owner) }, { $set: { avatar: url } });
  await jobs.updateOne({ _id: job }, { $set: { state: "completed", finishedAt: new Date() } });
  await unlink(path);
}

const message = ({ _id, asset, owner }) => ({ job: _id, asset: asset.toString(), owner: owner.toString() });

async function load() {
  const queue = new Queue(QUEUE, { connection });
  const documents = await jobs.find().sort({ _id: 1 }).toArray();
  await queue.addBulk(documents.map((document) => ({ name: "upload", data: message(document), opts: options })));
  await queue.close();
  await client.close();
}

function work(atOnce) {
  new Worker(QUEUE, perform, { connection, concurrency: atOnce });
}

async function accept(count, atOnce) {
  const queue = new Queue(QUEUE, { connection });
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  // Who measures reads the word, and answers with a line when it may go on.
  const sayAndWait = (word) => {
    console.log(word);
    return lines.next();
  };
  const some = async (left) => {
    while (left.count-- > 0) {
      const document = { _id: new ObjectId().toString(), state: "queued", asset: new ObjectId(), owner: new ObjectId() };
      await jobs.insertOne(document);
      await queue.add("upload", message(document), options);
    }
  };
  const all = (left) => Promise.all(Array.from({ length: atOnce }, () => some(left)));
  await all({ count: atOnce * 2 });
  await sayAndWait("ready");
  await all({ count });
  await sayAndWait("done");
  process.exit();
}

const [what, ...numbers] = process.argv.slice(2);
await { load, work, accept }[what](...numbers.map(Number));
