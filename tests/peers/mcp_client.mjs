// The official npm MCP client over Streamable HTTP. argv: URL, operation, [tool, arguments as JSON].
// Operations: list, call, hear (the first change of a resource that calling the tool brings). Environment: TOKEN (bearer), CERT, KEY, CA (PEM files, for mutual TLS), SPIFFE_ID
// (what the server must be, in place of a host name), OPENS_URLS (declares URL elicitation). Prints one JSON object: {result} or {error}.
import { readFileSync } from 'node:fs';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { Agent, fetch as fetchOver } from 'undici';

const [url, operation, tool, text = '{}'] = process.argv.slice(2);
const { TOKEN, CERT, KEY, CA, SPIFFE_ID, OPENS_URLS } = process.env;

const isExpected = (_host, certificate) => {
  const names = (certificate.subjectaltname ?? '').split(', ');
  return names.includes(`URI:${SPIFFE_ID}`) ? undefined : new Error(`the server is not ${SPIFFE_ID}`);
};

const dispatcher = new Agent({
  connect: {
    ...(CERT && { cert: readFileSync(CERT), key: readFileSync(KEY) }),
    ...(CA && { ca: readFileSync(CA) }),
    ...(SPIFFE_ID && { checkServerIdentity: isExpected }),
  },
});

const operations = {
  list: (client) => client.listTools(),
  call: async (client) => {
    const progress = [];
    const result = await client.callTool(
      { name: tool, arguments: JSON.parse(text) },
      undefined,
      { onprogress: (step) => progress.push(step), timeout: 20_000 },
    );
    return { ...result, progress };
  },
  hear: async (client) => {
    let heard;
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { heard ??= params; });
    // The client opens its standing stream when it likes.
    for (let tries = 0; !heard && tries < 100; tries += 1) {
      await client.callTool({ name: tool, arguments: JSON.parse(text) });
    }
    return { heard };
  },
};

const capabilities = OPENS_URLS ? { elicitation: { url: {} } } : {};
const client = new Client({ name: 'npm-peer', version: '1.0.0' }, { capabilities });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: TOKEN ? { authorization: `Bearer ${TOKEN}` } : {} },
  fetch: (target, init) => fetchOver(target, { ...init, dispatcher }),
});

let answer;
try {
  await client.connect(transport);
  const server = client.getServerVersion();
  answer = { result: await operations[operation](client), server, protocol: transport.protocolVersion };
} catch (error) {
  answer = { error: { message: error.message, code: error.code ?? null, data: error.data ?? null, cause: error.cause?.message ?? null } };
}
console.log(JSON.stringify(answer));
await client.close();
await dispatcher.destroy();
