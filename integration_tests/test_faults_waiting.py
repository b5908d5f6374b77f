"""How long a sync waits, what it logs before it waits, and how it uses clocks, proxies, redirects and certificates."""

from __future__ import annotations

import http.server
import re
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.clock import SharedClock
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.running import KEY, Result
from integration_tests.harness.truth import DAY, assert_complete, ids, now

FIVE_MINUTES = 300.0
TEN_MINUTES = 600.0
READ_TIMEOUT = 45.0
LONGEST_WAIT = 156.0


@pytest.fixture
def api(make_api: MakeApi, tmp_path: Path) -> LocalCloseApi:
    """Return an API whose clock is that of `without_waits`."""
    api = make_api()
    api.settings.now = SharedClock(tmp_path / "clock").now
    return api


@pytest.fixture
def without_waits(tmp_path: Path) -> Fork:
    """Return a function that makes a connector whose waits take no time; its clocks advance as if they did."""

    def make(url: str) -> ForkedConnector:
        clock = SharedClock(tmp_path / "clock")
        return ForkedConnector({"api_key": KEY, "base_url": url}, tmp_path, skips_waits=clock)

    return make


def seconds_to_error(result: Result, stream: str) -> float:
    """Return the seconds from a stream's start to its error, by the connector's clock."""
    traces = result.of("TRACE")
    statuses = [one for one in traces if one["type"] == "STREAM_STATUS"]
    [began] = [
        one["emitted_at"]
        for one in statuses
        if one["stream_status"]["stream_descriptor"]["name"] == stream and one["stream_status"]["status"] == "STARTED"
    ]
    [ended] = [one["emitted_at"] for one in traces if one["type"] == "ERROR"]
    return float(ended - began) / 1000


def longest_wait(result: Result) -> float:
    """Return the longest wait in the log, which has a line before each wait."""
    waits = [re.search(r"(?:Retrying in|waits) ([\d.]+) s", line) for line in result.logs("INFO")]
    return max((float(wait[1]) for wait in waits if wait), default=0.0)


@pytest.mark.parametrize("fault", [Fault("status", status=500), Fault("reset")], ids=["500", "reset"])
def test_a_stream_fails_within_ten_minutes_if_its_endpoint_is_down(
    fault: Fault, api: LocalCloseApi, without_waits: Fork
) -> None:
    api.faults.add(fault)
    result = without_waits(api.url).read(["users"])
    assert 200 < seconds_to_error(result, "users") < TEN_MINUTES - READ_TIMEOUT
    assert 0 < longest_wait(result) <= LONGEST_WAIT
    [error] = result.errors
    assert error["failure_type"] == "transient_error"
    assert 8 <= len(api.requests) <= 40, "the backoff grows"


def test_a_refused_connection_is_given_up_within_ten_minutes(without_waits: Fork) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = without_waits(f"http://127.0.0.1:{unused.getsockname()[1]}").read(["users"])
    assert 200 < seconds_to_error(result, "users") < TEN_MINUTES
    [error] = result.errors
    assert "Connection refused" in error["message"]
    assert "Check the network, proxy and firewall" in error["message"]


@pytest.mark.parametrize("seconds", [20.0, 10_000.0])
def test_rate_limits_are_waited_out_for_at_most_five_minutes(
    seconds: float, api: LocalCloseApi, without_waits: Fork
) -> None:
    api.faults.add(Fault("rate_limit", seconds=seconds))
    result = without_waits(api.url).read(["users"])
    assert seconds_to_error(result, "users") < TEN_MINUTES
    [error] = result.errors
    assert "rate limit" in error["message"]
    assert error["failure_type"] == "transient_error"
    assert len(api.requests) >= FIVE_MINUTES // seconds
    assert longest_wait(result) <= FIVE_MINUTES + 1, "the log has a line before each wait"


class _ForwardingProxy(http.server.BaseHTTPRequestHandler):
    """Forwards GET and POST requests, and keeps them in `server.received`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.received.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(self.command, self.path, data=body, headers=dict(self.headers), timeout=10)
        self.send_response(response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def test_the_proxy_from_the_environment_is_used_and_a_netrc_is_not(
    make_api: MakeApi, fork: Fork, tmp_path: Path
) -> None:
    api = make_api(Volumes(tasks=30, leads=10, users=3))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ForwardingProxy) as proxy:
        proxy.daemon_threads = True
        proxy.received = []  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        connector = fork(api, start_date="2020-01-01")
        address = f"http://127.0.0.1:{proxy.server_port}"
        connector.environment = {"HTTP_PROXY": address, "http_proxy": address, "NETRC": str(tmp_path / "netrc")}
        connector.environment |= {"NO_PROXY": "", "no_proxy": ""}
        result = connector.read(["tasks", "leads", "users"])
        proxy.shutdown()
    assert_complete(result, "tasks", "leads", "users")
    assert set(result.ids("tasks")) == ids(api, "tasks")
    received = proxy.received  # type: ignore[attr-defined]
    assert len(received) == len(api.requests) > 0
    assert {authorization for _, authorization in received} == {"Basic YXBpX2xvY2FsOg=="}


def test_a_netrc_is_not_used_after_a_redirect(make_api: MakeApi, fork: Fork, tmp_path: Path) -> None:
    api = make_api(Volumes(users=3))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    redirect = Fault("status", "/user/", status=307, headers={"location": f"{api.url}/user/?_limit=5"}, times=1)
    api.faults.add(redirect)
    connector = fork(api)
    connector.environment = {"NETRC": str(tmp_path / "netrc")}
    result = connector.read(["users"])
    assert_complete(result, "users")
    assert set(result.ids("users")) == ids(api, "users")
    assert [entry.status for entry in api.requests] == [307, 200]


class _ProxyWithPassword(http.server.BaseHTTPRequestHandler):
    """Refuses every tunnel and asks for a password."""

    def do_CONNECT(self) -> None:
        """Send a 407."""
        self.send_error(407, "Proxy Authentication Required")

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def test_a_proxy_that_requires_a_password_fails_without_retries(make_api: MakeApi, fork: Fork) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ProxyWithPassword) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        connector = fork(make_api(), base_url="https://localhost:1/api/v1")
        address = f"http://127.0.0.1:{proxy.server_port}"
        connector.environment = {"HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": ""}
        [error] = connector.read(["users"]).errors
        [status] = connector.check().of("CONNECTION_STATUS")
        proxy.shutdown()
    assert error["failure_type"] == "config_error"
    for message in (error["message"], status["message"]):
        assert "failed: Tunnel connection failed: 407" in message
        assert "The proxy between the connector and Close requires a user name and a password" in message


def test_the_certificate_bundle_from_the_environment_is_used(tmp_path: Path) -> None:
    connector = ForkedConnector({"api_key": KEY, "base_url": "https://localhost:1"}, tmp_path, retry_seconds=0.1)
    connector.environment = {"REQUESTS_CA_BUNDLE": "/nowhere/bundle.pem"}
    [error] = connector.read(["users"]).errors
    assert "/nowhere/bundle.pem" in error["internal_message"]


@pytest.mark.parametrize("minutes", [-30, 4, 6])
def test_a_clock_more_than_five_minutes_ahead_of_closes_fails_the_sync(
    minutes: int, make_api: MakeApi, fork: Fork
) -> None:
    """The lookbacks cover up to five minutes. A clock that is behind reads less, and the next sync the rest."""
    api = make_api(Volumes(tasks=9, users=3), end=now() - DAY)
    connector = fork(api)
    connector.now = lambda: now() + timedelta(minutes=minutes)
    result = connector.read(["tasks", "users"])
    if minutes > 5:
        assert result.exit_code == 1
        assert any("clock" in error["message"] for error in result.errors)
        return
    assert_complete(result, "tasks", "users")
    assert set(result.ids("tasks")) == ids(api, "tasks")
