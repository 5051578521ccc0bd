// An API host in Node. Usage: host.mjs <http|https|http2> <port> <cert> <key> <streams>
// It serves what the type host in hosts_test.go describes, until standard input ends.
import { createServer as http } from "node:http";
import { createServer as https } from "node:https";
import { createSecureServer as http2 } from "node:http2";
import { readFileSync } from "node:fs";
import { gzipSync, deflateSync } from "node:zlib";

const [kind, port, cert, key, streams] = process.argv.slice(2);
const counts = new Map();

function serve(req, res) {
	const url = new URL(req.url, "https://host");
	const id = url.searchParams.get("sign_id") ?? "";
	if (url.pathname === "/counts") {
		res.end([...counts].map(([call, n]) => `${call} ${n}\n`).join(""));
		return;
	}
	const call = `${req.method} ${id}`;
	counts.set(call, (counts.get(call) ?? 0) + 1);
	res.setHeader("X-Content-Length", req.headers["content-length"] ?? "");
	res.setHeader("X-Transfer-Encoding", req.headers["transfer-encoding"] ?? "");
	if (id.startsWith("early")) {
		res.statusCode = Number(id.slice(5, 8));
		res.end("early");
		req.resume();
		return;
	}
	let length = 0;
	req.on("data", (chunk) => { length += chunk.length; });
	req.on("end", () => {
		res.setHeader("X-Length", String(length));
		const error = JSON.stringify({ error: "invalid_request" });
		if (id.startsWith("gzip") || id.startsWith("deflate")) {
			const gzip = id.startsWith("gzip");
			res.statusCode = 400;
			res.setHeader("Content-Encoding", gzip ? "gzip" : "deflate");
			res.end(gzip ? gzipSync(error) : deflateSync(error));
		} else {
			res.end(id.startsWith("down") ? Buffer.alloc(20 << 20, "x") : "ok");
		}
	});
}

const tls = kind === "http" ? {} : { cert: readFileSync(cert), key: readFileSync(key) };
const server = { http, https, http2 }[kind]({ ...tls, settings: { maxConcurrentStreams: Number(streams) } }, serve);
server.listen(Number(port), "127.0.0.1", () => console.log(process.version));
process.stdin.on("end", () => process.exit()).resume();
