#!/usr/bin/env bash
# Three time-stamp clients refuse a good time-stamp, because the server calls it granted with modifications.
#
# Software:  pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0 and requests 2.34.2, and rfc3161-client 1.0.9, as
#            published on PyPI; github.com/digitorus/timestamp v0.0.0-20250524132541-c45532741eea; OpenSSL 3.0
#            as the server.
# Behaviour: A response has the status 1 (grantedWithMods) in place of 0 (granted), and the same time-stamp.
#            "openssl ts -verify" says OK. pyHanko: "Timestamp server refused our request", with an empty
#            statusString and failInfo. ParseResponse of digitorus/timestamp returns an error, whose text is
#            "the request is granted with modifications:  ()", and no time-stamp. rfc3161-client reads it,
#            and does not verify it: "PKIStatus is not GRANTED". With the status 0, all are content.
# Surprise:  RFC 3161 section 2.4.2: "When the status contains the value zero or one, a TimeStampToken MUST be
#            present". What was modified, the client has to look up in the time-stamp, such as another
#            policy. The status is not signed, and is gone when the time-stamp is in the document. The
#            server has counted, and may have charged, a time-stamp that the client throws away.
# Needs:     bash, curl, Go, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0 requests==2.34.2 rfc3161-client==1.0.9
cat >extensions <<'CNF'
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CNF
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=TSA 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -out server.pem -extfile extensions 2>/dev/null
cat >tsa.cnf <<'CNF'
[tsa]
default_tsa = server
[server]
serial = serial
signer_cert = server.pem
signer_key = server.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
CNF
echo 01 >serial
# The server answers with the status that the path asks for.
cat >server.py <<'PY'
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer

GRANTED = bytes.fromhex("3003020100")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        with open("request", "wb") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])))
        command = "openssl ts -reply -config tsa.cnf -queryfile request -out response".split()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open("response", "rb") as file:
            body = file.read()
        assert body.index(GRANTED) == 4
        body = body.replace(GRANTED, GRANTED[:-1] + bytes([int(self.path[1:])]), 1)
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
venv/bin/python server.py >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
printf document >document
cat >main.py <<'PY'
import asyncio
import hashlib
import sys

import requests
from cryptography import x509
from pyhanko.sign.timestamps import HTTPTimeStamper, TimestampRequestError
from rfc3161_client import TimestampRequestBuilder, VerificationError, VerifierBuilder, decode_timestamp_response
from rfc3161_client.base import HashAlgorithm

url = sys.argv[1]
status = url[-1]
try:
    digest = hashlib.sha256(b"document").digest()
    stamp = asyncio.run(HTTPTimeStamper(url).async_timestamp(digest, "sha256"))
    print(f"status {status}, pyHanko: {stamp['content_type'].native}")
except TimestampRequestError as error:
    print(f"status {status}, pyHanko: {error}")
request = TimestampRequestBuilder().data(b"document").hash_algorithm(HashAlgorithm.SHA256).build()
headers = {"Content-Type": "application/timestamp-query"}
response = decode_timestamp_response(requests.post(url, data=request.as_bytes(), headers=headers).content)
with open("ca.pem", "rb") as file:
    root = x509.load_pem_x509_certificate(file.read())
try:
    verified = VerifierBuilder.from_request(request).add_root_certificate(root).build().verify_message(response, b"document")
    print(f"status {status}, rfc3161-client: {verified}")
except VerificationError as error:
    print(f"status {status}, rfc3161-client: {error}")
PY
cat >main.go <<'GO'
package main

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/digitorus/timestamp"
)

func main() {
	url := os.Args[1]
	request, err := timestamp.CreateRequest(strings.NewReader("document"), &timestamp.RequestOptions{Hash: crypto.SHA256, Certificates: true})
	if err != nil {
		panic(err)
	}
	response, err := http.Post(url, "application/timestamp-query", bytes.NewReader(request))
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	stamp, err := timestamp.ParseResponse(body)
	fmt.Printf("status %s, digitorus/timestamp: %t, error %v\n", url[len(url)-1:], stamp != nil, err)
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/digitorus/timestamp@v0.0.0-20250524132541-c45532741eea >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(
	for status in 0 1; do
		url=http://127.0.0.1:$(<port)/$status
		openssl ts -query -data document -sha256 -cert -out query 2>/dev/null
		curl -sS -H 'Content-Type: application/timestamp-query' --data-binary @query -o reply "$url"
		echo "status $status, OpenSSL: $(openssl ts -verify -queryfile query -in reply -CAfile ca.pem 2>/dev/null)"
		venv/bin/python main.py "$url"
		go run . "$url"
	done
)
want='status 0, OpenSSL: Verification: OK
status 0, pyHanko: signed_data
status 0, rfc3161-client: True
status 0, digitorus/timestamp: true, error <nil>
status 1, OpenSSL: Verification: OK
status 1, pyHanko: Timestamp server refused our request: statusString "", failInfo ""
status 1, rfc3161-client: PKIStatus is not GRANTED
status 1, digitorus/timestamp: false, error the request is granted with modifications:  ()'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
