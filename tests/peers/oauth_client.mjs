// The certified openid-client at a token endpoint, by mutual TLS. argv: issuer, client id, grant type, parameters as
// JSON. Environment: CERT, KEY, CA (PEM files). Prints one JSON object: {token, metadata} or {error}.
import { readFileSync } from 'node:fs';
import * as oauth from 'openid-client';
import { Agent, fetch as fetchOver } from 'undici';

const [issuer, clientId, grant, parameters] = process.argv.slice(2);
const { CERT, KEY, CA } = process.env;

const dispatcher = new Agent({
  connect: { cert: readFileSync(CERT), key: readFileSync(KEY), ca: readFileSync(CA) },
});

try {
  const config = await oauth.discovery(
    new URL(issuer),
    clientId,
    { use_mtls_endpoint_aliases: true },
    oauth.TlsClientAuth(),
    { algorithm: 'oauth2', [oauth.customFetch]: (url, options) => fetchOver(url, { ...options, dispatcher }) },
  );
  const token = await oauth.genericGrantRequest(config, grant, JSON.parse(parameters));
  console.log(JSON.stringify({ token, metadata: config.serverMetadata() }));
} catch ({ error, error_description: description, status, message }) {
  console.log(JSON.stringify({ error: { error, description, status, message } }));
}
