// A terminal and a second device are let in by a phone.

import nacl from "tweetnacl";
import { base64 } from "../script.js";

export async function pairing(script) {
  const phone = await script.account("phone");
  const stranger = await script.account("stranger");
  const key = (name) => {
    const made = base64(nacl.box.keyPair().publicKey);
    script.names.give(made, name);
    script.names.give(encodeURIComponent(made), name);
    return made;
  };
  const status = (publicKey) => `/v1/auth/request/status?publicKey=${encodeURIComponent(publicKey)}`;

  const v1 = key("terminal 1");
  await script.call("the state of an unknown terminal", "GET", status(v1));
  await script.call("a terminal asks", "POST", "/v1/auth/request", { body: { publicKey: v1 } });
  await script.call("it asks again", "POST", "/v1/auth/request", { body: { publicKey: v1, supportsV2: true } });
  await script.call("its state: the first word on v2 stays", "GET", status(v1));
  await script.call("the phone answers", "POST", "/v1/auth/response", { as: phone, body: { publicKey: v1, response: "sealed 1" } });
  await script.call("its state after the answer", "GET", status(v1));
  const told = await script.call("the terminal hears it", "POST", "/v1/auth/request", { body: { publicKey: v1 } });
  await script.call("another phone answers too late", "POST", "/v1/auth/response", { as: stranger, body: { publicKey: v1, response: "sealed 2" } });
  await script.call("the first answer stays", "POST", "/v1/auth/request", { body: { publicKey: v1 } });
  await script.call("the terminal's token works", "GET", "/v1/account/settings", { as: { name: "terminal", token: told.token } });

  const v2 = key("terminal 2");
  await script.call("a terminal of v2 asks", "POST", "/v1/auth/request", { body: { publicKey: v2, supportsV2: true } });
  await script.call("its state", "GET", status(v2));
  await script.call("the phone answers with nothing", "POST", "/v1/auth/response", { as: phone, body: { publicKey: v2, response: "" } });
  await script.call("an empty answer is none", "POST", "/v1/auth/request", { body: { publicKey: v2 } });
  const v3 = key("terminal 3");
  await script.call("a terminal with null for v2", "POST", "/v1/auth/request", { body: { publicKey: v3, supportsV2: null } });

  await script.call("a key of another length asks", "POST", "/v1/auth/request", { body: { publicKey: base64(Buffer.alloc(31)) } });
  await script.call("the state of such a key", "GET", status(base64(Buffer.alloc(31))));
  await script.call("an answer to such a key", "POST", "/v1/auth/response", { as: phone, body: { publicKey: base64(Buffer.alloc(31)), response: "x" } });
  await script.call("an answer to nobody", "POST", "/v1/auth/response", { as: phone, body: { publicKey: key("nobody"), response: "x" } });
  await script.call("a key that is no base64 asks", "POST", "/v1/auth/request", { body: { publicKey: "%%%" } });
  await script.call("the state of a key that is no base64", "GET", "/v1/auth/request/status?publicKey=%25%25%25");

  const device = key("device");
  await script.call("an answer before a device asked", "POST", "/v1/auth/account/response", { as: phone, body: { publicKey: device, response: "x" } });
  await script.call("a device asks", "POST", "/v1/auth/account/request", { body: { publicKey: device } });
  await script.call("the device asks again", "POST", "/v1/auth/account/request", { body: { publicKey: device } });
  await script.call("a terminal of the same key is another matter", "GET", status(device));
  await script.call("the phone answers the device", "POST", "/v1/auth/account/response", { as: phone, body: { publicKey: device, response: "sealed 3" } });
  await script.call("the device hears it", "POST", "/v1/auth/account/request", { body: { publicKey: device } });
  await script.call("another answer changes nothing", "POST", "/v1/auth/account/response", { as: stranger, body: { publicKey: device, response: "sealed 4" } });
  await script.call("the device hears the same", "POST", "/v1/auth/account/request", { body: { publicKey: device } });
  await script.call("a device with a key of another length", "POST", "/v1/auth/account/request", { body: { publicKey: "AAAA" } });
  await script.call("an answer to such a device", "POST", "/v1/auth/account/response", { as: phone, body: { publicKey: "AAAA", response: "x" } });
}
