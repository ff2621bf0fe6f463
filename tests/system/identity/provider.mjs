// A certified OpenID Connect provider on a free port, whose keys are changed by `POST /rotate`.
//
//   node provider.mjs DIRECTORY     DIRECTORY holds node_modules with oidc-provider
//
// Its first line on standard output is its issuer. Clients `anna` and `robot` get tokens with the grant
// `client_credentials`; what a token says beside the standard is what a provider's administrator sets up.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.argv[2], "package.json"));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);
const { exportJWK, generateKeyPair } = await import(pathToFileURL(require.resolve("jose")).href);

const AUDIENCE = "interview-agent";
const SCOPES = "agent.admin.read agent.admin.write agent.ws.internal";
const SECRET = "a-client-secret-of-the-tests-0123456789";
const SAYS = {
  anna: { tenant_id: "acme" },
  robot: { token_type: "service" },
};
const keys = [];
let provider;

async function rotate(keep) {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: `key-${Date.now()}`, use: "sig", alg: "RS256" };
  keys.splice(0, keys.length, jwk, ...(keep ? keys : []));
  provider = new Provider(issuer, {
    clients: Object.keys(SAYS).map((client_id) => ({
      client_id,
      client_secret: SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: { keys },
    scopes: SCOPES.split(" "),
    extraTokenClaims: (ctx, token) => SAYS[token.clientId],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://calls.example.com",
        getResourceServerInfo: () => ({
          scope: SCOPES,
          audience: AUDIENCE,
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

const server = createServer(async (request, response) => {
  if (request.method === "POST" && request.url.startsWith("/rotate")) {
    await rotate(request.url.endsWith("?keep"));
    response.end("{}");
    return;
  }
  provider.callback()(request, response);
});
let issuer;
server.listen(0, "127.0.0.1", async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  await rotate(false);
  process.stdout.write(`${issuer}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
