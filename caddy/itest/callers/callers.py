"""Makes the calls of standard input, with requests or with httpx."""

import base64
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests

ca, patience = sys.argv[1], float(sys.argv[2])
trust = ssl.create_default_context(cafile=ca)
clients = {version: httpx.Client(verify=trust, timeout=patience, http2=version == "2") for version in "12"}
printing = threading.Lock()  # print writes a line in pieces
mine = threading.local()  # a requests.Session is for one thread


def by_requests(version, method, url, body):
    if not hasattr(mine, "session"):
        mine.session = requests.Session()
    response = mine.session.request(method, url, data=body, verify=ca, timeout=patience, headers={"Content-Type": "application/json"})
    return response.status_code, response.headers.get("Proxy-Status", ""), response.content


def by_httpx(version, method, url, body):
    response = clients[version].request(method, url, content=body, headers={"Content-Type": "application/json"})
    return response.status_code, response.headers.get("Proxy-Status", ""), response.content


def make(job, client, version, method, url, path):
    try:
        with open(path, "rb") if path else open("/dev/null", "rb") as file:
            body = file.read() or None
        status, proxy_status, content = {"requests": by_requests, "httpx": by_httpx}[client](version, method, url, body)
    except Exception as e:
        status, proxy_status, content = 0, "", repr(e).encode()
    with printing:
        print(job, status, proxy_status, base64.b64encode(content).decode(), sep="\t", end="\n", flush=True)


with ThreadPoolExecutor(32) as threads:
    print("ready", flush=True)
    for line in sys.stdin:
        threads.submit(make, *line.rstrip("\n").split("\t"))
