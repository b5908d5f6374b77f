"""How long a sync waits, what it says meanwhile, and through what it connects."""

from __future__ import annotations

import http.server
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from airbyte_cdk.sources.declarative.models.declarative_component_schema import HttpRequester as HttpRequesterModel
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.running import Connector
from integration_tests.truth import assert_complete, ids
from source_close import transport
from source_close.connection import TimedResponse
from source_close.errors import CloseApiError
from source_close.source import SourceClose
from source_close.transport import Transport

MakeApi = Callable[..., LocalCloseApi]
Connect = Callable[..., Connector]
TEN_MINUTES = 600.0


class FakeClock:
    """Time that passes when somebody sleeps, and a little with each look at it; keeps the moments of log messages."""

    def __init__(self) -> None:
        self.time = 0.0
        self.logged = [0.0]

    def now(self) -> float:
        self.time += 0.001
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def filter(self, record: logging.LogRecord) -> bool:
        self.logged.append(self.time)
        return True

    @property
    def longest_silence(self) -> float:
        return max(later - earlier for earlier, later in itertools.pairwise([*self.logged, self.time]))


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    clock = FakeClock()
    level = transport.LOGGER.level
    transport.LOGGER.setLevel(logging.INFO)
    transport.LOGGER.addFilter(clock.filter)
    yield clock
    transport.LOGGER.removeFilter(clock.filter)
    transport.LOGGER.setLevel(level)


def requester_for(url: str) -> HttpRequester:
    source = SourceClose(None, {"api_key": "api_local", "base_url": url}, None)
    definition = source.resolved_manifest["definitions"]["key_requester"]
    requester: HttpRequester = source._constructor.create_component(
        HttpRequesterModel, definition, source._config, name="me"
    )
    return requester


def fetch(url: str, clock: FakeClock, max_in_flight: int = 2) -> tuple[CloseApiError, Transport]:
    """Ask once for what can't be had; the error and the transport."""
    asking = Transport(max_in_flight=max_in_flight, user_agent="test", now=clock.now, sleep=clock.sleep)
    with pytest.raises(CloseApiError) as caught:
        asking.fetch(asking.endpoint(requester_for(url), "users"), is_list=False)
    return caught.value, asking


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=500), Fault("status", status=502, body="<html>"), Fault("reset"), Fault("empty")],
    ids=["500", "502", "reset", "nothing under 200"],
)
def test_a_dead_endpoint_is_given_up_within_ten_minutes(fault: Fault, make_api: MakeApi, clock: FakeClock) -> None:
    api = make_api()
    api.faults.add(fault)
    error, _ = fetch(api.url, clock)
    assert 200 < clock.time < TEN_MINUTES - transport.READ_TIMEOUT_SECONDS
    assert clock.longest_silence < 60
    assert error.failure_type is not None
    assert error.failure_type.value == "transient_error"
    assert f"Tried {len(api.requests)} times within" in str(error)
    assert 8 <= len(api.requests) <= 40, "the waits grow"


def test_nobody_listens(clock: FakeClock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error, _ = fetch(f"http://127.0.0.1:{unused.getsockname()[1]}", clock)
    assert 200 < clock.time < TEN_MINUTES
    assert "Connection refused" in str(error)
    assert "Check the network, proxy and firewall" in str(error)


@pytest.mark.parametrize("seconds", [20.0, 100.0, 10_000.0])
def test_rate_limits_are_waited_out_up_to_a_ceiling_that_says_so(
    seconds: float, make_api: MakeApi, clock: FakeClock
) -> None:
    api = make_api()
    api.faults.add(Fault("rate_limit", seconds=seconds))
    error, _ = fetch(api.url, clock)
    assert clock.time < TEN_MINUTES
    assert clock.longest_silence < 60
    assert "rate limit" in str(error)
    assert len(api.requests) >= transport.LONGEST_SECONDS // seconds


def test_others_of_the_stream_do_not_wait_for_what_was_given_up(make_api: MakeApi, clock: FakeClock) -> None:
    api = make_api()
    api.faults.add(Fault("status", status=503))
    _, asking = fetch(api.url, clock)
    began, before = clock.time, len(api.requests)
    with pytest.raises(CloseApiError) as caught:
        asking.fetch(asking.endpoint(requester_for(api.url), "users"), is_list=False)
    assert clock.time - began < 1
    assert len(api.requests) == before
    assert str(caught.value).startswith("Stream users: ")
    api.faults.clear()
    assert asking.fetch(asking.endpoint(requester_for(api.url), "tasks"), is_list=False)


@pytest.fixture
def trickling() -> Iterator[Callable[[bytes], str]]:
    """Makes servers that send a beginning and then a byte each 50 ms, for ever; gives their URL."""
    stop, started = threading.Event(), list[threading.Thread]()

    def serve(listening: socket.socket, beginning: bytes) -> None:
        with listening, listening.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(beginning)
            with suppress(OSError):
                while not stop.wait(0.05):
                    connection.sendall(b" ")

    def make(beginning: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(listening, beginning), daemon=True)
        thread.start()
        started.append(thread)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield make
    stop.set()
    for thread in started:
        thread.join(5)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow:", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"],
    ids=["no status", "headers", "body"],
)
def test_a_server_that_trickles_does_not_hold_a_sync_up(
    beginning: bytes, trickling: Callable[[bytes], str], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimedResponse, "seconds", 0.4)
    asking = Transport(max_in_flight=1, user_agent="test", retry_seconds=0.0, now=clock.now, sleep=clock.sleep)
    began = time.monotonic()
    with pytest.raises(CloseApiError) as caught:
        asking.fetch(asking.endpoint(requester_for(trickling(beginning)), "users"), is_list=False)
    assert time.monotonic() - began < 5
    assert "the answer was not complete after 0 s" in str(caught.value)


def test_a_server_that_says_nothing_does_not_hold_a_sync_up(
    make_api: MakeApi, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.2)
    api = make_api()
    api.faults.add(Fault("hang", seconds=30.0))
    asking = Transport(max_in_flight=1, user_agent="test", retry_seconds=0.0, now=clock.now, sleep=clock.sleep)
    began = time.monotonic()
    with pytest.raises(CloseApiError) as caught:
        asking.fetch(asking.endpoint(requester_for(api.url), "users"), is_list=False)
    assert time.monotonic() - began < 5
    assert "timed out" in str(caught.value)


class _ForwardingProxy(http.server.BaseHTTPRequestHandler):
    """Forwards GET and POST, and keeps what it was asked for in `server.asked`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(self.command, self.path, data=body, headers=dict(self.headers), timeout=10)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def test_a_proxy_of_the_environment_is_used_and_a_netrc_is_not(
    make_api: MakeApi, connect: Connect, tmp_path: Path
) -> None:
    api = make_api(Volumes(tasks=30, leads=10, users=3))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ForwardingProxy) as proxy:
        proxy.daemon_threads = True
        proxy.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        connector = connect(api, start_date="2020-01-01")
        address = f"http://127.0.0.1:{proxy.server_port}"
        connector.environment = {"HTTP_PROXY": address, "http_proxy": address, "NETRC": str(tmp_path / "netrc")}
        connector.environment |= {"NO_PROXY": "", "no_proxy": ""}
        result = connector.read(["tasks", "leads", "users"])
        proxy.shutdown()
    assert_complete(result, "tasks", "leads", "users")
    assert set(result.ids("tasks")) == ids(api, "tasks")
    asked = proxy.asked  # type: ignore[attr-defined]
    assert len(asked) == len(api.requests) > 0
    assert {authorization for _, authorization in asked} == {"Basic YXBpX2xvY2FsOg=="}


def test_a_bundle_of_certificates_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    error, _ = fetch("https://localhost:1", clock)
    assert "/nowhere/bundle.pem" in str(error)
