// Sends the requests that the test puts in front of this, all at once, each by fetch and by XMLHttpRequest.

const body = (request) =>
  new Blob([
    `--${request.boundary}\r\nContent-Disposition: form-data; name="${request.field}"; filename="a"\r\n\r\n`,
    "x".repeat(request.bytes),
    `\r\n--${request.boundary}--\r\n`,
  ]);

const byFetch = async (request) => {
  const { method, url, headers } = request;
  const answer = await fetch(url, { method, headers, body: body(request) });
  return `${answer.status} ${(await answer.json()).type}`;
};

const byXhr = (request) =>
  new Promise((answered, failed) => {
    const xhr = new XMLHttpRequest();
    xhr.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = () => {};
    xhr.onload = () => answered(`${xhr.status} ${JSON.parse(xhr.response).type}`);
    xhr.onerror = () => failed("an error without a name");
    xhr.send(body(request));
  });

const tried = (sent) => sent.catch((error) => String(error));
return Promise.all(requests.flatMap((request) => [tried(byFetch(request)), tried(byXhr(request))]));
