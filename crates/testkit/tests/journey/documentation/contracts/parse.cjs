// Has the official parser read an AsyncAPI document. Prints what it found in it and what it objects to.
const { Parser, fromFile } = require('@asyncapi/parser');

// Errors and warnings; below these are hints.
const WORST = 1;

async function main(path) {
  const { document, diagnostics } = await fromFile(new Parser(), path).parse();
  const objections = diagnostics.filter(({ severity }) => severity <= WORST);
  const ids = (all) => all.all().map((one) => one.id());
  console.log(JSON.stringify({
    objections: objections.map(({ code, path, message }) => `${code} at ${path.join('/')}: ${message}`),
    operations: document ? ids(document.operations()) : [],
    channels: document ? ids(document.channels()) : [],
    payloads: document ? document.messages().all().map((one) => one.payload()?.json()?.title ?? null) : [],
  }));
}

main(process.argv[2]);
