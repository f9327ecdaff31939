// node sdk.mjs URL TOKEN: the vendor's SDK, unchanged, links a session of the sandbox and sends over it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { createWasender } from "wasenderapi";

const [url, token] = process.argv.slice(2);
const base = `${url}/api`;
const to = "+14155550101";

async function until(what, condition) {
  const deadline = Date.now() + 30000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `${what} did not happen in time`);
    await wait(20);
  }
}

async function admin(path, body) {
  const answer = await fetch(`${url}/sandbox${path}`, body && { method: "POST", body: JSON.stringify(body) });
  assert.ok(answer.ok, `${path} answered ${answer.status}`);
  return answer.json();
}

const requests = [];
const hook = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    requests.push({ headers: request.headers, body });
    response.end();
  });
});
await new Promise((resolve) => hook.listen(0, "127.0.0.1", resolve));

// Sessions, with the account's token
const account = createWasender(undefined, token, base);
const before = (await account.getAllWhatsAppSessions()).response.data.length;
const { data: session } = (
  await account.createWhatsAppSession({
    name: "SDK",
    phone_number: "+12125550150",
    account_protection: false,
    log_messages: true,
    webhook_url: `http://127.0.0.1:${hook.address().port}/`,
    webhook_enabled: true,
    webhook_events: ["session.status", "messages.update", "messages.received"],
  })
).response;
assert.equal((await account.getAllWhatsAppSessions()).response.data.length, before + 1);
const linking = (await account.connectWhatsAppSession(session.id, true)).response.data;
assert.equal(linking.status, "NEED_SCAN");
assert.equal((await account.getWhatsAppSessionQRCode(session.id)).response.data.qrCode, linking.qrCode);
await admin(`/sessions/${session.id}/scan`, {});

// Messages, with the session's key
const { data: details } = (await account.getWhatsAppSessionDetails(session.id)).response;
const sender = createWasender(details.api_key, undefined, base, undefined, undefined, details.webhook_secret);
await until("connected", async () => (await sender.getSessionStatus()).response.status === "connected");
const sent = await sender.sendText({ to, text: "Hello from the SDK" });
const { msgId, status } = sent.response.data;
assert.equal(status, "in_progress");
assert.equal(sent.rateLimit.limit, 256);
await sender.sendImage({ to, imageUrl: "https://example.org/a.jpg", text: "Look" });
await sender.sendLocation({ to, location: { latitude: "52.5", longitude: "13.4" } }).then(
  () => assert.fail("coordinates as text are refused, the SDK converts them only with messageType"),
  (error) => assert.equal(error.statusCode, 422),
);
const read = await until("read", async () => {
  const { data } = (await sender.getMessageInfo(msgId)).response;
  return data.status >= 3 && data;
});
assert.equal(read.key.remoteJid, "14155550101@s.whatsapp.net");
await sender.editMessage(msgId, "Changed");
await sender.deleteMessage(msgId);
assert.equal((await sender.checkIfOnWhatsapp(to)).response.data.exists, true);
assert.equal((await sender.getContacts()).response.data.length, 1);
const upload = await sender.uploadMediaFile({ base64: btoa("plain words"), mimetype: "text/plain" });
assert.equal(await (await fetch(upload.response.publicUrl)).text(), "plain words");
await assert.rejects(sender.sendText({ to: "nobody", text: "?" }), (error) => error.statusCode === 422);
assert.equal((await admin(`/ledger?session=${session.id}`)).accepted, 2);

// Webhooks, checked and parsed by the SDK
await admin(`/sessions/${session.id}/stop`, { from: to });
await until("the reply", () => requests.some(({ body }) => body.includes("messages.received")));
for (const { headers, body } of requests) {
  const event = await sender.handleWebhookEvent({ getHeader: (name) => headers[name], getRawBody: () => body });
  assert.notEqual(event.event, "unknown");
  assert.equal(event.sessionId, details.api_key);
}

// The end of the session
const fresh = (await account.regenerateApiKey(session.id)).response.api_key;
await assert.rejects(sender.getSessionStatus(), (error) => error.statusCode === 401);
assert.equal((await createWasender(fresh, undefined, base).getSessionStatus()).response.status, "connected");
await account.disconnectWhatsAppSession(session.id);
await account.deleteWhatsAppSession(session.id);
assert.equal((await account.getAllWhatsAppSessions()).response.data.length, before);
hook.close();
console.log(`ok: ${requests.length} webhooks`);
