"""Connections: a refused one, and how a sync uses proxies and redirects."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from integration_tests.close_api import Fault, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.truth import ids


def test_a_refused_connection_fails_the_stream_with_its_cause(make_api: MakeApi, fork: Fork) -> None:
    [error] = fork(make_api(), base_url="http://127.0.0.1:1", retry_seconds=0.1).read(["users"]).errors
    assert error["failure_type"] == "transient_error"
    assert "Connection refused" in error["message"]


@contextmanager
def running(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _ForwardingProxy(http.server.BaseHTTPRequestHandler):
    """Forwards GET and POST requests, and keeps them in `server.received`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.received.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with requests.Session() as session:
            session.trust_env = False
            given: dict[str, Any] = {"data": body, "timeout": 10, "allow_redirects": False}
            response = session.request(self.command, self.path, headers=dict(self.headers), **given)
        self.send_response(response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.send_header("Location", response.headers.get("location", ""))
        self.end_headers()
        self.wfile.write(response.content)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def test_the_proxy_from_the_environment_is_used_and_a_netrc_is_not_even_after_a_redirect(
    make_api: MakeApi, fork: Fork, tmp_path: Path
) -> None:
    api = make_api(Volumes(tasks=30, leads=10, users=3))
    redirect = {"location": f"{api.url}/user/?_limit=1000&_skip=0"}
    api.faults.add(Fault("status", "/user/", status=307, headers=redirect, times=1))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    with running(_ForwardingProxy) as proxy:
        proxy.received = []  # type: ignore[attr-defined]
        connector = fork(api, start_date="2020-01-01")
        address = f"http://127.0.0.1:{proxy.server_port}"
        connector.environment = {"HTTP_PROXY": address, "http_proxy": address, "NETRC": str(tmp_path / "netrc")}
        connector.environment |= {"NO_PROXY": "", "no_proxy": ""}
        result = connector.sync(["tasks", "leads", "users"])
    assert set(result.ids("tasks")) == ids(api, "tasks")
    assert [entry.status for entry in api.requests if entry.path == "/user/"] == [307, 200]
    received = proxy.received  # type: ignore[attr-defined]
    assert len(received) == len(api.requests) > 0
    assert {authorization for _, authorization in received} == {"Basic YXBpX2xvY2FsOg=="}


class _ProxyWithPassword(_ForwardingProxy):
    """Refuses every tunnel and asks for a password."""

    def do_CONNECT(self) -> None:
        self.send_error(407, "Proxy Authentication Required")


def test_a_proxy_that_requires_a_password_fails_without_retries(make_api: MakeApi, fork: Fork) -> None:
    with running(_ProxyWithPassword) as proxy:
        connector = fork(make_api(), base_url="https://localhost:1/api/v1")
        address = f"http://127.0.0.1:{proxy.server_port}"
        connector.environment = {"HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": ""}
        [error] = connector.read(["users"]).errors
    assert error["failure_type"] == "config_error"
    assert "failed: Tunnel connection failed: 407" in error["message"]
    assert "The proxy between the connector and Close requires a user name and a password" in error["message"]
