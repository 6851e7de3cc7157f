// What needs a service outside, as a self-hoster without one is answered; and kept vendor tokens.

export async function outside(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  await script.connect("phone", { as: owner });
  const keep = (name, vendor, token) => script.call(name, "POST", `/v1/connect/${vendor}/register`, { as: owner, body: { token } });

  await script.call("no tokens yet", "GET", "/v1/connect/tokens", { as: owner });
  await script.call("no token of openai", "GET", "/v1/connect/openai/token", { as: owner });
  await keep("one of openai", "openai", '{"oauth":{"id_token":"x"}}');
  await keep("one of anthropic", "anthropic", "plain \u00e4");
  await keep("one of gemini", "gemini", "");
  await keep("another of openai", "openai", "second");
  await keep("one of a stranger to the list", "mistral", "x");
  await script.call("the token of openai", "GET", "/v1/connect/openai/token", { as: owner });
  await script.call("the token of a stranger to the list", "GET", "/v1/connect/mistral/token", { as: owner });
  await script.call("all tokens", "GET", "/v1/connect/tokens", { as: owner });
  await script.call("a stranger's tokens", "GET", "/v1/connect/tokens", { as: stranger });
  await script.call("the profile names them", "GET", "/v1/account/profile", { as: owner });
  await script.call("forget openai", "DELETE", "/v1/connect/openai", { as: owner });
  await script.call("forget openai again", "DELETE", "/v1/connect/openai", { as: owner });
  await script.call("forget a stranger to the list", "DELETE", "/v1/connect/mistral", { as: owner });
  await script.call("what is left", "GET", "/v1/connect/tokens", { as: owner });

  await script.call("github is not set up", "GET", "/v1/connect/github/params", { as: owner });
  await script.call("github's answer with a state of nobody", "GET", "/v1/connect/github/callback?code=c&state=s", { show: ["location"] });
  await script.call("github's answer with an error", "GET", "/v1/connect/github/callback?error=access_denied&code=c&state=s", { show: ["location"] });
  await script.call("github's answer without a code", "GET", "/v1/connect/github/callback?state=s", { show: ["location"] });
  await script.call("github's webhook", "POST", "/v1/connect/github/webhook", {
    body: { zen: "x" },
    headers: { "x-hub-signature-256": "sha256=00", "x-github-event": "ping", "x-github-delivery": "1" },
  });
  await script.call("unlink github that is not linked", "DELETE", "/v1/connect/github", { as: owner });

  await script.call("voice is not set up", "POST", "/v1/voice/conversations", { as: owner, body: { agentId: "agent" } });
  await script.call("the use of voice", "GET", "/v1/voice/usage", { as: owner });
  const version = (name, platform, version) => script.call(name, "POST", "/v1/version", { body: { platform, version, app_id: "app" } });
  await version("a current iPhone", "ios", "1.7.0");
  await version("a current Android", "Android", "1.7.0");
  await version("an old iPhone", "ios", "1.0.0");
  await version("another platform", "web", "0.0.1");
  await version("a version that is none", "linux", "x");
}
