// A certified OpenID provider with one client and whoever logs in; argv: port (0 = any free one), key id.
// Access tokens are RS256 `at+jwt` for whatever resource is asked for (RFC 8707, RFC 9068), ten minutes long.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const SCOPES = 'ledger.read ledger.pay reports.publish';
const GROUPS = { maria: ['finance-leads'], ivan: [] };

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: process.argv[3] ?? 'peer-1' };

const profile = (login) => ({
  email: `${login}@example.test`,
  groups: GROUPS[login] ?? [],
  roles: [],
});

const configuration = {
  clients: [{
    client_id: 'ide',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  jwks: { keys: [signing] },
  scopes: ['openid', ...SCOPES.split(' ')],
  cookies: { keys: ['peer-of-the-tests'] },
  findAccount: (_ctx, login) => ({ accountId: login, claims: () => ({ sub: login, ...profile(login) }) }),
  extraTokenClaims: (_ctx, token) => profile(token.accountId),
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: SCOPES,
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
};

const server = createServer();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration).callback());
  console.log(`issuer ${issuer}`);
});
