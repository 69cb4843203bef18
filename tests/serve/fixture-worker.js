// Stands in for the main Worker where the serving scripts are tested, not Heliograph: it shows what reached it.

import wasm from './index_bg.wasm';

class Store {
  constructor(state) {
    this.state = state;
  }

  async fetch(request) {
    const { storage } = this.state;
    if (request.method === 'POST') await storage.put('value', await request.text());
    return new Response(await storage.get('value') ?? 'nothing');
  }
}

export class TenantObject extends Store {}
export class StreamObject extends Store {}
export class SourceObject extends Store {}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const parameters = Object.fromEntries(url.searchParams);
    switch (url.pathname) {
      case '/console.json': return Response.json({ bindings: Object.keys(env), wasm: wasm instanceof WebAssembly.Module });
      case '/events': return new Response(request.body, { status: 202, headers: { 'x-url': request.url } });
      case '/admin/object': return env.TENANT.get(env.TENANT.idFromName('default')).fetch(request);
      case '/admin/fetch': return fetch(parameters.url).then(
        (response) => new Response(`answered ${response.status}`),
        (error) => new Response(`failed: ${error}`),
      );
      case '/admin/kv': return kv(request, env.CONFIG, parameters);
      default: return new Response('the main Worker knows nothing of it', { status: 404, headers: { 'x-main': 'yes' } });
    }
  },
};

async function kv(request, config, { key, keys, ttl, metadata, prefix, limit, cursor }) {
  if (request.method === 'PUT') {
    const options = { ...(ttl && { expirationTtl: Number(ttl) }), ...(metadata && { metadata: JSON.parse(metadata) }) };
    await config.put(key, await request.arrayBuffer(), options);
    return new Response();
  }
  if (request.method === 'DELETE') {
    await config.delete(key);
    return new Response();
  }
  if (keys) return Response.json(Object.fromEntries(await config.get(keys.split(','))));
  if (prefix !== undefined) return Response.json(await config.list({ prefix, cursor, ...(limit && { limit: Number(limit) }) }));
  const { value, metadata: stored } = await config.getWithMetadata(key);
  return Response.json({ value, metadata: stored });
}
