"""An HTTP server for tests that serves the files of a folder by ranges, and fails as it is told.

Run as `python range_server.py FOLDER`; it prints its port. It is a process of its own: rasterio may hold Python's lock
while GDAL reads a header, and a server in a thread would never answer.

The address says what happens: `/FAULT/TIMES/NAME` serves the file NAME, after the first TIMES requests that the fault
concerns have failed. Faults, each counted by address without its query:

- `ok`: none.
- a status such as `503`: the answer to any request.
- `drop`: half of a range's body, then the connection ends.
- `cut-N`: the same after N bytes.
- `reset`: the connection ends without an answer.
- `stall`: no answer before the client goes away.
- `whole`: ranges are ignored, the whole file comes.
- `private`: 403 without an Authorization header.

Other addresses, `/BUCKET/NAME`, are `private` ones, as on S3. `/log` answers with the requests so far, as JSON.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

FAULTS = re.compile(r"/(ok|\d{3}|drop|cut-\d+|reset|stall|whole|private)/(\d+)/([^/]+)")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        """The header of what GET would answer."""
        self._answer()

    def do_GET(self) -> None:
        """A range of a file, or what the address asks for."""
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        if path == "/log":
            return self._send(200, json.dumps(self.server.log).encode())
        self.server.log.append({"method": self.command, "path": self.path, **self.headers})
        found = FAULTS.fullmatch(path)
        fault, times, name = found.groups() if found else ("private", sys.maxsize, path.rsplit("/", 1)[-1])
        file = self.server.folder / name
        if not file.is_file():
            return self._send(404, b"")
        concerned = "Range" in self.headers if fault.startswith(("drop", "cut", "whole")) else True
        failing = concerned and self.server.counted(path) <= int(times)
        return self._serve(file.read_bytes(), fault if failing else "ok")

    def _serve(self, content: bytes, fault: str) -> None:
        if fault in ("reset", "stall"):
            return self._hang_up(wait=fault == "stall")
        if fault.isdigit() or (fault == "private" and "Authorization" not in self.headers):
            return self._send(int(fault) if fault.isdigit() else 403, b"<Error/>")
        wanted = RANGE.fullmatch(self.headers.get("Range", ""))
        if not wanted or fault == "whole":
            return self._send(200, content)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        part = content[first : last + 1]
        if not part:
            return self._send(416, b"")
        kept = {"drop": len(part) // 2, "cut": int(fault.partition("-")[2] or 0)}.get(fault.partition("-")[0])
        return self._send(206, part, {"Content-Range": f"bytes {first}-{last}/{len(content)}"}, kept)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, kept: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Accept-Ranges": "bytes", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:kept])
        if kept is not None:
            self._hang_up()

    def _hang_up(self, *, wait: bool = False) -> None:
        if wait:
            self.connection.recv(1)
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    """Serves a folder."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        """Listen on a free port of this machine alone."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.log: list[dict[str, str]] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def counted(self, path: str) -> int:
        """How often an address has been asked for, this time included."""
        with self._lock:
            self._counts[path] += 1
            return self._counts[path]

    def handle_error(self, *_: object) -> None:
        """GDAL hangs up once it has seen enough: no reason for a traceback."""


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]))
    print(server.server_port, flush=True)
    server.serve_forever()
