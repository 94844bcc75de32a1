// A real OpenID provider on loopback for the token tests, with a control address beside it. Prints one line of JSON when it listens.
// Usage: node openid_provider.mjs <tenant id>
import { createServer } from "node:http";
import { once } from "node:events";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

const tenant = process.argv[2];
const path = `/${tenant}/v2.0`;
const issuer = new OAuth2Issuer();
const service = new OAuth2Service(issuer, {
  wellKnownDocument: `${path}/.well-known/openid-configuration`,
  token: `/${tenant}/oauth2/v2.0/token`,
});
// The library builds addresses from the issuer; Entra's keys and tokens stand beside it.
service.on("beforeWellKnownOpenIdConfiguration", (answer) => {
  Object.assign(answer.body, {
    jwks_uri: `${origin}/${tenant}/discovery/v2.0/keys`,
    token_endpoint: `${origin}/${tenant}/oauth2/v2.0/token`,
  }, state.discovery);
});

let origin = "";
let keys = []; // published, as the library's private JWKs
const counts = { discovery: 0, keys: 0 };
// mode: ok | fail (500) | hang (never answers) | broken (no JSON)
const state = { mode: "ok", discovery: {} };

function spoiled(response) {
  if (state.mode === "hang") return true;
  if (state.mode === "fail") response.writeHead(500).end("down");
  else if (state.mode === "broken") response.writeHead(200, { "content-type": "application/json" }).end("<html>");
  return state.mode !== "ok";
}

const provider = createServer((request, response) => {
  if (request.url === `${path}/.well-known/openid-configuration`) {
    counts.discovery += 1;
    if (!spoiled(response)) service.requestHandler(request, response);
  } else if (request.url === `/${tenant}/discovery/v2.0/keys`) {
    counts.keys += 1;
    if (spoiled(response)) return;
    const published = issuer.keys.toJSON().filter((key) => keys.includes(key.kid));
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ keys: published.map((key) => ({ ...key, use: "sig" })) }));
  } else {
    service.requestHandler(request, response);
  }
});

// Commands, each a POST with a JSON object: what tests do to the provider.
const commands = {
  // A new key; `publish` (default true) puts it into the key set, `retire` takes the others out.
  async key({ kid, publish = true, retire = false }) {
    const key = await issuer.keys.generate("RS256", kid ? { kid } : undefined);
    if (retire) keys = [];
    if (publish) keys.push(key.kid);
    return { kid: key.kid, n: key.n, e: key.e };
  },
  async publish({ kids }) {
    keys = kids;
    return {};
  },
  // A token under a key: its claims over the library's own iss, iat, exp, nbf; null takes a claim out.
  async token({ kid, claims = {}, header = {} }) {
    const token = await issuer.buildToken({
      kid,
      scopesOrTransform: (head, payload) => {
        Object.assign(head, header);
        for (const [name, value] of Object.entries(claims)) {
          if (value === null) delete payload[name];
          else payload[name] = value;
        }
      },
    });
    return { token };
  },
  async mode({ mode, discovery = {} }) {
    state.mode = mode;
    state.discovery = discovery;
    return {};
  },
  async counts() {
    return counts;
  },
};

const control = createServer(async (request, response) => {
  try {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const asked = JSON.parse(Buffer.concat(pieces).toString() || "{}");
    response.end(JSON.stringify(await commands[request.url.slice(1)](asked)));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});

provider.listen(0, "127.0.0.1");
control.listen(0, "127.0.0.1");
await Promise.all([once(provider, "listening"), once(control, "listening")]);
origin = `http://127.0.0.1:${provider.address().port}`;
issuer.url = `${origin}${path}`;
console.log(JSON.stringify({ authority: origin, control: `http://127.0.0.1:${control.address().port}` }));
// Ends with the test that started it.
process.stdin.resume().on("end", () => process.exit(0));
