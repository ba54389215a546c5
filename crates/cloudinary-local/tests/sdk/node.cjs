// Drives cloudinary-local with Cloudinary's Node SDK. The environment gives CLOUDINARY_URL, which has to be there before
// the SDK is loaded (it picks http or https at that moment), and NODE_PATH, where the SDK was installed.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const cloudinary = require('cloudinary').v2;

const base = new URL(process.env.CLOUDINARY_URL).searchParams.get('upload_prefix');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cloudinary-local-node-'));
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

const md5 = (bytes) => crypto.createHash('md5').update(bytes).digest('hex');

function file(name, bytes) {
  const at = path.join(folder, name);
  fs.writeFileSync(at, bytes);
  return at;
}

const png = file('dot.png', PNG);

function verified(reply) {
  assert.ok(
    cloudinary.utils.verify_api_response_signature(reply.public_id, reply.version, reply.signature),
    `signature of ${reply.public_id}`,
  );
  return reply;
}

// upload_large returns a stream, so only its callback tells the end.
function uploadLarge(at, options) {
  return new Promise((resolve, reject) => {
    const done = (first, second) => {
      const reply = second ?? first;
      if (reply.error) reject(reply.error);
      else resolve(reply);
    };
    cloudinary.uploader.upload_large(at, options, done);
  });
}

async function fault(spec) {
  await clearFaults();
  const answer = await fetch(`${base}/__admin/faults`, { method: 'POST', body: JSON.stringify(spec) });
  assert.equal(answer.status, 201, await answer.text());
}

async function clearFaults() {
  await fetch(`${base}/__admin/faults`, { method: 'DELETE' });
}

async function failure(promise) {
  try {
    const reply = await promise;
    assert.fail(`succeeded: ${JSON.stringify(reply)}`);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return error.error ?? error;
  }
}

async function delivered(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, `${url}: ${answer.headers.get('x-cld-error')}`);
  return Buffer.from(await answer.arrayBuffer());
}

const stories = {
  async 'a plain upload'() {
    const reply = verified(await cloudinary.uploader.upload(png, { public_id: 'node/plain' }));
    assert.equal(reply.public_id, 'node/plain');
    assert.equal(reply.etag, md5(PNG));
    assert.deepEqual([reply.width, reply.height, reply.format, reply.bytes], [1, 1, 'png', PNG.length]);
    assert.equal(reply.original_filename, 'dot');
    assert.deepEqual(await delivered(reply.secure_url), PNG);
  },

  async 'an upload with every kind of parameter'() {
    const reply = verified(
      await cloudinary.uploader.upload(png, {
        public_id: 'my/píc 日本',
        folder: 'fo',
        overwrite: true,
        unique_filename: false,
        invalidate: false,
        tags: ['a', 'b'],
        context: { alt: 'A|B=C', k: 'v & w' },
        eager: [
          { width: 400, height: 300, crop: 'pad' },
          { width: 260, height: 200, crop: 'crop', format: 'jpg' },
        ],
        notification_url: 'https://h.example/n?a=1&b=2',
      }),
    );
    assert.equal(reply.public_id, 'fo/my/píc 日本');
    assert.deepEqual(reply.tags, ['a', 'b']);
    assert.deepEqual(reply.context.custom, { alt: 'A|B=C', k: 'v & w' });
    assert.equal(reply.eager[0].transformation, 'c_pad,h_300,w_400');
    assert.deepEqual(await delivered(reply.secure_url), PNG);
  },

  async 'raw and auto'() {
    const text = file('notes.txt', 'hello');
    const raw = verified(await cloudinary.uploader.upload(text, { resource_type: 'raw', public_id: 'node/notes.txt' }));
    assert.deepEqual([raw.resource_type, raw.format, raw.bytes], ['raw', undefined, 5]);
    assert.equal((await cloudinary.uploader.upload(text, { resource_type: 'auto' })).resource_type, 'raw');
    assert.equal((await cloudinary.uploader.upload(png, { resource_type: 'auto' })).resource_type, 'image');
  },

  async 'a remote file and a data URI'() {
    const source = await cloudinary.uploader.upload(png, { public_id: 'node/source' });
    const remote = verified(await cloudinary.uploader.upload(source.secure_url, { public_id: 'node/remote' }));
    assert.equal(remote.etag, md5(PNG));
    const uri = `data:image/png;base64,${PNG.toString('base64')}`;
    assert.equal((await cloudinary.uploader.upload(uri, { public_id: 'node/uri' })).etag, md5(PNG));
  },

  async 'an unsigned upload'() {
    const reply = await cloudinary.uploader.unsigned_upload(png, 'open', { public_id: 'node/unsigned' });
    assert.equal(reply.public_id, 'node/unsigned');
    const error = await failure(cloudinary.uploader.unsigned_upload(png, 'closed'));
    assert.deepEqual([error.http_code, error.message], [400, 'Upload preset not found']);
  },

  async 'an upload with an OAuth token, and one signed with SHA-256'() {
    const reply = await cloudinary.uploader.upload(png, { public_id: 'node/oauth', oauth_token: 'tok' });
    assert.equal(reply.public_id, 'node/oauth');
    cloudinary.config({ signature_algorithm: 'sha256' });
    try {
      const signed = verified(await cloudinary.uploader.upload(png, { public_id: 'node/sha256' }));
      assert.equal(signed.signature.length, 64);
    } finally {
      cloudinary.config({ signature_algorithm: 'sha1' });
    }
  },

  async 'a stream'() {
    const reply = await new Promise((resolve, reject) => {
      const done = (error, reply) => (error ? reject(error) : resolve(reply));
      cloudinary.uploader.upload_stream({ public_id: 'node/stream' }, done).end(PNG);
    });
    assert.equal(verified(reply).etag, md5(PNG));
  },

  async 'chunks: one, two, three, an exact multiple and none'() {
    for (const size of [700, 1000, 1700, 2000, 2500, 3000]) {
      const bytes = crypto.randomBytes(size);
      const options = { public_id: `node/chunks-${size}.bin`, chunk_size: 1000 };
      const reply = verified(await uploadLarge(file(`big-${size}.bin`, bytes), options));
      assert.deepEqual([reply.done, reply.bytes, reply.etag], [true, size, md5(bytes)], `${size} bytes`);
      assert.deepEqual(await delivered(reply.secure_url), bytes);
    }
    const empty = await uploadLarge(file('empty.bin', ''), { public_id: 'node/empty.bin', chunk_size: 1000 });
    assert.deepEqual([empty.done, empty.bytes], [true, 0]);
    const unnamed = await uploadLarge(file('unnamed.bin', crypto.randomBytes(2500)), { chunk_size: 1000 });
    assert.equal(unnamed.bytes, 2500);
  },

  async 'overwriting and keeping'() {
    const first = await cloudinary.uploader.upload(png, { public_id: 'node/kept', overwrite: false });
    assert.equal(first.existing, undefined);
    const again = verified(await cloudinary.uploader.upload(png, { public_id: 'node/kept', overwrite: false }));
    assert.deepEqual([again.existing, again.version], [true, first.version]);
    const replaced = verified(await cloudinary.uploader.upload(png, { public_id: 'node/kept' }));
    assert.equal(replaced.overwritten, true);
    assert.ok(replaced.version > first.version);
  },

  async 'destroying twice'() {
    await cloudinary.uploader.upload(png, { public_id: 'node/doomed/pic' });
    assert.deepEqual(await cloudinary.uploader.destroy('node/doomed/pic', { resource_type: 'video' }), { result: 'not found' });
    assert.deepEqual(await cloudinary.uploader.destroy('node/doomed/pic', { invalidate: true }), { result: 'ok' });
    assert.deepEqual(await cloudinary.uploader.destroy('node/doomed/pic'), { result: 'not found' });
  },

  async 'renaming twice'() {
    const before = await cloudinary.uploader.upload(png, { public_id: 'node/old' });
    const after = await cloudinary.uploader.rename('node/old', 'node/new', { overwrite: true });
    assert.deepEqual([after.public_id, after.asset_id], ['node/new', before.asset_id]);
    const error = await failure(cloudinary.uploader.rename('node/old', 'node/new', { overwrite: true }));
    assert.deepEqual([error.http_code, error.message], [404, 'Resource not found - node/old']);
  },

  async 'explicit, tags and context'() {
    await cloudinary.uploader.upload(png, { public_id: 'node/labelled' });
    const reply = verified(await cloudinary.uploader.explicit('node/labelled', { type: 'upload', tags: ['x'] }));
    assert.deepEqual(reply.tags, ['x']);
    const ids = ['node/labelled', 'node/missing'];
    assert.deepEqual((await cloudinary.uploader.add_tag('y', ids)).public_ids, ['node/labelled']);
    assert.deepEqual((await cloudinary.uploader.add_context('k=v', ids)).public_ids, ['node/labelled']);
    assert.deepEqual((await cloudinary.api.resource('node/labelled')).tags, ['x', 'y']);
  },

  async 'the admin API'() {
    assert.equal((await cloudinary.api.ping()).status, 'ok');
    assert.ok((await cloudinary.api.usage()).media_limits.image_max_size_bytes > 0);
    for (const id of ['node/admin/a', 'node/admin/b', 'node/admin/c']) {
      await cloudinary.uploader.upload(png, { public_id: id });
    }
    const one = await cloudinary.api.resource('node/admin/a');
    assert.deepEqual([one.public_id, one.etag], ['node/admin/a', md5(PNG)]);
    assert.equal((await cloudinary.api.resource_by_asset_id(one.asset_id)).public_id, 'node/admin/a');
    const page = await cloudinary.api.resources({ type: 'upload', prefix: 'node/admin/', max_results: 2 });
    const rest = await cloudinary.api.resources({ type: 'upload', prefix: 'node/admin/', next_cursor: page.next_cursor });
    assert.equal(page.resources.length + rest.resources.length, 3);
    const found = await cloudinary.search.expression('public_id:node/admin/*').max_results(10).execute();
    assert.equal(found.total_count, 3);
    const deleted = await cloudinary.api.delete_resources(['node/admin/a', 'node/none']);
    assert.deepEqual(deleted.deleted, { 'node/admin/a': 'deleted', 'node/none': 'not_found' });
    assert.equal(Object.keys((await cloudinary.api.delete_resources_by_prefix('node/admin/')).deleted).length, 2);
    const error = await failure(cloudinary.api.resource('node/admin/a'));
    assert.deepEqual([error.http_code, error.message], [404, 'Resource not found - node/admin/a']);
  },

  async 'notifications that the SDK believes'() {
    const arrived = [];
    const receiver = http.createServer((request, response) => {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        arrived.push({ headers: request.headers, body: Buffer.concat(pieces).toString() });
        // The first one is sent again.
        response.writeHead(arrived.length === 1 ? 503 : 200).end();
      });
    });
    await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const deadline = Date.now() + 60_000;
    const nth = async (count) => {
      while (arrived.length < count) {
        assert.ok(Date.now() < deadline, `${arrived.length} notifications of ${count}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const { headers, body } = arrived[count - 1];
      const [timestamp, signature] = [Number(headers['x-cld-timestamp']), headers['x-cld-signature']];
      assert.ok(cloudinary.utils.verifyNotificationSignature(body, timestamp, signature), body);
      assert.ok(!cloudinary.utils.verifyNotificationSignature(`${body} `, timestamp, signature), body);
      return JSON.parse(body);
    };
    const told = { notification_url: `http://127.0.0.1:${receiver.address().port}/hook?a=1&tags=b` };
    const reply = verified(await cloudinary.uploader.upload(png, { public_id: 'node/told', ...told }));
    for (const count of [1, 2]) {
      const { notification_type, public_id, asset_id } = await nth(count);
      assert.deepEqual([notification_type, public_id, asset_id], ['upload', 'node/told', reply.asset_id]);
    }
    const rejected = await cloudinary.api.update('node/told', { moderation_status: 'rejected' });
    assert.deepEqual(rejected.moderation, [{ kind: 'manual', status: 'rejected' }]);
    assert.deepEqual(await cloudinary.uploader.destroy('node/told', told), { result: 'ok' });
    const { notification_type, resources } = await nth(3);
    assert.deepEqual([notification_type, resources.length], ['delete', 1]);
    assert.deepEqual([resources[0].public_id, resources[0].version], ['node/told', reply.version]);
    receiver.close();
  },

  async 'delivery URLs that the SDK builds'() {
    await cloudinary.uploader.upload(png, { public_id: 'node/secret', type: 'authenticated' });
    const host = { secure: false, cname: new URL(base).host, analytics: false };
    const url = cloudinary.url('node/secret', { ...host, type: 'authenticated', sign_url: true, format: 'png' });
    assert.deepEqual(await delivered(url), PNG);
    assert.equal((await fetch(url.replace('/s--', '/s--x'))).status, 401);
    const resized = cloudinary.url('node/plain', { ...host, width: 3, height: 2, crop: 'pad', format: 'jpg' });
    assert.equal((await delivered(resized)).subarray(0, 2).toString('hex'), 'ffd8');
  },

  async 'forty uploads, one after the other'() {
    for (let number = 0; number < 40; number += 1) {
      await cloudinary.uploader.upload(png, { public_id: `node/forty/${number}` });
    }
    const wrong = { public_id: 'node/forty', api_secret: 'wrong' };
    for (let number = 0; number < 10; number += 1) {
      assert.equal((await failure(cloudinary.uploader.upload(png, wrong))).http_code, 401);
    }
  },

  async 'failures arrive as the SDK reports them'() {
    const upload = () => cloudinary.uploader.upload(png, { public_id: 'node/failing', timeout: 700 });
    const html = '<html><body>Bad Gateway</body></html>';

    await fault({ effect: 'rate_limit', limit: 500, reset_seconds: 60, action: 'upload' });
    let error = await failure(upload());
    assert.equal(error.http_code, 420);
    assert.match(error.message, /^Rate Limit Exceeded\. Limit of 500 api operations reached\. Try again on /);

    await fault({ effect: 'status', status: 401, message: 'Invalid Signature x', action: 'upload' });
    error = await failure(upload());
    assert.deepEqual([error.http_code, error.message], [401, 'Invalid Signature x']);

    for (const status of [403, 409]) {
      await fault({ effect: 'status', status, message: 'no', action: 'upload' });
      error = await failure(upload());
      assert.equal(error.message, `Server returned unexpected status code - ${status}`);
      assert.equal(error.name, 'UnexpectedResponse');
    }
    for (const status of [413, 502]) {
      await fault({ effect: 'status', status, html, action: 'upload' });
      error = await failure(upload());
      assert.equal(error.message, `Server returned unexpected status code - ${status}`);
    }
    await fault({ effect: 'status', status: 200, html, action: 'upload' });
    error = await failure(upload());
    assert.match(error.message, /^Server return invalid JSON response\. Status Code 200/);

    await fault({ effect: 'hang', action: 'upload' });
    error = await failure(upload());
    assert.deepEqual([error.http_code, error.message, error.name], [499, 'Request Timeout', 'TimeoutError']);

    await fault({ effect: 'drop', at: 'after_storing', action: 'upload', times: 1 });
    await failure(upload());
    await clearFaults();
    const again = await cloudinary.uploader.upload(png, { public_id: 'node/failing', overwrite: false });
    assert.deepEqual([again.existing, again.etag], [true, md5(PNG)]);
  },

  async 'a wrong signature in the reply is noticed'() {
    await fault({ effect: 'wrong_signature', action: 'upload', times: 1 });
    const reply = await cloudinary.uploader.upload(png, { public_id: 'node/forged' });
    const { public_id, version, signature } = reply;
    assert.equal(cloudinary.utils.verify_api_response_signature(public_id, version, signature), false);
  },
};

async function main() {
  for (const [name, story] of Object.entries(stories)) {
    try {
      await story();
    } catch (error) {
      throw new Error(`${name}: ${error?.stack ?? JSON.stringify(error)}`);
    }
    console.log(`ok ${name}`);
  }
  console.log(`all ${Object.keys(stories).length} passed`);
}

main()
  .catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  })
  .finally(() => {
    fs.rmSync(folder, { recursive: true, force: true });
    // The SDK keeps its connections open.
    process.exit();
  });
