// The end-to-end test of an application that has its users sign, as its developers could write it
// in their own language. It needs Caddy with the gateway, Chromium and Node.js:
//
//   npm ci && CADDY=/usr/bin/caddy npm test
//
// CADDY and CHROMIUM are the programs, by default those of the search path.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const caddy = process.env.CADDY ?? "caddy";
const started = []; // what to end
let gateway, bankID, application, browser, folder;

// end ends a process, and waits for that.
async function end(child) {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill();
    await once(child, "exit");
  }
}

// listen serves at a free port of this machine, and returns the origin.
async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

// startSandbox runs the simulated BankID. Its orders wait for their signers.
async function startSandbox() {
  const child = spawn(caddy, ["bankid-esign", "sandbox", "--listen", "127.0.0.1:0", "--manual"], { stdio: ["ignore", "pipe", "inherit"] });
  started.push(() => end(child));
  const printed = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [, name, value] = /^(\S.*?)\s{2,}(.*)$/.exec(line) ?? [];
    printed[name] = value;
    if (name === "certificate") break; // the last line
  }
  return { issuer: printed.issuer, origin: new URL(printed.issuer).origin, id: printed.client, secret: printed["client secret"] };
}

// startGateway runs the gateway in front of it.
async function startGateway() {
  const reserved = createServer();
  const origin = await listen(reserved);
  reserved.close();
  await once(reserved, "close");
  const file = join(folder, "Caddyfile");
  await writeFile(file, `{
	admin off
	persist_config off
	bankid_esign {
		issuer ${bankID.issuer}
		client_id ${bankID.id}
		client_secret "${bankID.secret}"
		auth_method client_secret_basic
	}
}
${origin} {
	bankid_esign signdoc {
		callers local
		upstream signdoc ${bankID.origin}
	}
}
`);
  const child = spawn(caddy, ["run", "--adapter", "caddyfile", "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
  started.push(() => end(child));
  let log = "";
  child.stderr.on("data", (text) => { log += text; });
  for (;;) { // it accepts connections some time after its start
    try {
      await fetch(origin);
      return origin;
    } catch {
      assert.equal(child.exitCode, null, log);
    }
  }
}

// orderOf creates an order through the gateway, and returns its sign_id.
async function orderOf(pdf, redirectUrl) {
  const response = await fetch(`${gateway}/v1/signdoc/pades`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      signProperties: { orderName: "Leieavtale", redirectUrl },
      padesSignProperties: { addVisualSeals: false },
      documents: [{ description: "Leieavtale", pdf: pdf.toString("base64") }],
      resultContent: { requestSignerInfo: true },
    }),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()).sign_id;
}

// order makes a call about an order.
async function order(method, signID) {
  const response = await fetch(`${gateway}/v1/signdoc/pades?sign_id=${signID}`, { method });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

// document is a PDF of one page.
function document() {
  const objects = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> >>"];
  let pdf = "%PDF-1.7\n";
  const offsets = objects.map((object, i) => {
    const offset = pdf.length;
    pdf += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return String(offset).padStart(10, "0");
  });
  const start = pdf.length;
  pdf += `xref\n0 4\n0000000000 65535 f \n${offsets.map((offset) => `${offset} 00000 n \n`).join("")}trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`;
  return Buffer.from(pdf, "latin1");
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "application-"));
  started.push(() => rm(folder, { recursive: true }));
  bankID = await startSandbox();
  gateway = await startGateway();
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", "text/plain");
    response.end(`Welcome back at ${request.url}`);
  });
  started.push(() => server.closeAllConnections(), () => server.close());
  application = await listen(server);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--no-proxy-server"] });
  started.push(() => browser.close());
});

after(async () => {
  for (const stop of started.reverse()) await stop();
});

test("a user signs, and the application gets the document", async () => {
  const pdf = document();
  const signID = await orderOf(pdf, `${application}/back?case=1`);
  const page = await browser.newPage();
  await page.goto(`${bankID.origin}/nb/${signID}`);
  assert.equal((await order("GET", signID)).orderState, "USER_SIGNING");
  await page.getByLabel("Ola SANDBOX Hansen").check();
  await page.getByRole("button", { name: "Signer" }).click();
  await page.waitForURL(`${application}/back?case=1`);
  const result = await order("DELETE", signID);
  assert.equal(result.orderState, "SIGN_COMPLETED");
  const signed = Buffer.from(result.signingResults[0].padesSignedPdf, "base64");
  assert.ok(signed.length > pdf.length && signed.subarray(0, pdf.length).equals(pdf), "the document is another one");
  const signer = JSON.parse(Buffer.from(result.signerInfo.split(".")[1], "base64url").toString());
  assert.equal(signer.name, "Ola SANDBOX Hansen");
});

test("a user rejects", async () => {
  const signID = await orderOf(document(), `${application}/back?case=2`);
  const page = await browser.newPage({ javaScriptEnabled: false });
  await page.goto(`${bankID.origin}/en/${signID}`);
  await page.getByRole("button", { name: "Reject" }).click();
  await page.waitForURL(`${application}/back?case=2`);
  assert.equal((await order("GET", signID)).orderState, "REJECTED");
});

test("the desk works without JavaScript", async () => {
  const signID = await orderOf(document(), `${application}/back`);
  const page = await browser.newPage({ javaScriptEnabled: false });
  await page.goto(`${bankID.origin}/`);
  await page.locator("tr", { hasText: signID }).getByRole("button", { name: "Sign Leieavtale" }).click();
  await page.waitForURL(`${bankID.origin}/`);
  assert.ok(await page.locator("tr", { hasText: signID }).getByText("SIGN_COMPLETED").isVisible());
});
