// Makes the calls of standard input with fetch, which supports only HTTP/1.1.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

const patience = Number(process.argv[2]) * 1000;

async function make([job, , , method, url, path]) {
  let result;
  try {
    const response = await fetch(url, {
      method,
      body: path ? await readFile(path) : undefined,
      headers: { "Content-Type": "application/json" },
      signal: AbortSignal.timeout(patience),
    });
    const body = Buffer.from(await response.arrayBuffer());
    result = [response.status, response.headers.get("Proxy-Status") ?? "", body.toString("base64")];
  } catch (e) {
    result = [0, "", Buffer.from(`${e}: ${e.cause}`).toString("base64")];
  }
  console.log([job, ...result].join("\t"));
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  make(line.split("\t"));
}
