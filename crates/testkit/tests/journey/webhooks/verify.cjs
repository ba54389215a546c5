// Verifies messages with the library of Standard Webhooks. Reads a list of {secret, headers, body} and prints for each whether it
// is genuine.
const { Webhook } = require('standardwebhooks');

const messages = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));
const genuine = messages.map(({ secret, headers, body }) => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    return error.message;
  }
});
console.log(JSON.stringify(genuine));
