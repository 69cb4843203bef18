// The API as the benchmarks use it.

/** Calls `origin` with this token; the status has to be the expected one. */
export function apiOf(origin, token) {
  return async (method, where, body, expected) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(origin + where, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (answer.status !== expected) throw new Error(`${method} ${where}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
}

/** Registers a client at `base` and creates a stream for it. Returns the stream, and the API as its receiver calls it. */
export async function createStream(operator, base, wanted) {
  const endpoint = wanted.delivery?.endpoint_url;
  const client = await operator('POST', '/admin/clients', {
    client_name: 'Bench', scope: 'ssf.read ssf.manage', audience: 'https://bench.example', push_endpoints: endpoint ? [endpoint] : [],
  }, 201);
  const { access_token: token } = await (await fetch(`${base}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })).json();
  const receiver = apiOf(base, token);
  return { receiver, stream: await receiver('POST', '/ssf/streams', wanted, 201) };
}
