// A certified OpenID provider that anyone may log in to, with the clients of argv; its access tokens are RS256 `at+jwt`.
// argv: port (0 = any free one), a JSON object {clients, scopes, seconds: life of an access token}.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const { clients, scopes, seconds } = JSON.parse(process.argv[3]);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'issuer-1' };

const configuration = {
  clients,
  jwks: { keys: [signing] },
  scopes: ['openid', 'offline_access', ...scopes],
  cookies: { keys: ['peer-of-the-tests'] },
  findAccount: (_ctx, login) => ({ accountId: login, claims: () => ({ sub: login }) }),
  rotateRefreshToken: true,
  issueRefreshToken: async (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: scopes.join(' '),
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: seconds,
        jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
};

const server = createServer();
server.listen(Number(process.argv[2]), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const answer = new Provider(issuer, configuration).callback();
  server.on('request', (request, response) => {
    console.log(`asked ${request.method} ${request.url.split('?')[0]}`);
    answer(request, response);
  });
  console.log(`issuer ${issuer}`);
});
