"""What breaks real clients on the wire: hijacks, half-closes, early bytes, hang-ups, back-pressure."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.api_serving import Host, serving


def connect(host: Host) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(host.socket)
    return sock


def head(sock: socket.socket) -> tuple[bytes, bytes]:
    """(head, what came behind it)"""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    start, _, rest = data.partition(b"\r\n\r\n")
    return start, rest


def upgrade(path: str, body: Any = None, extra: bytes = b"") -> bytes:
    data = json.dumps(body).encode() if body is not None else b""
    kind = b"Content-Type: application/json\r\n" if data else b""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n".encode()
        + kind
        + f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
        + extra
    )


def everything(sock: socket.socket, begin: bytes = b"") -> bytes:
    data = begin
    while more := sock.recv(1 << 16):
        data += more
    return data


def frames(data: bytes) -> list[tuple[int, bytes]]:
    out = []
    while data:
        stream, length = struct.unpack(">BxxxI", data[:8])
        out.append((stream, data[8 : 8 + length]))
        data = data[8 + length :]
    return out


def made(host: Host, *cmd: str, **config: Any) -> str:
    status, body = host.json("POST", "/containers/create", {"Image": "busybox:1", "Cmd": list(cmd), **config})
    assert status == 201, body
    return body["Id"]


def running(host: Host, *cmd: str, **config: Any) -> str:
    id = made(host, *cmd, **config)
    assert host.json("POST", f"/containers/{id}/start") == (204, None)
    return id


def test_the_socket_is_private_and_goes_with_the_server(host: Host) -> None:
    assert stat.S_IMODE(Path(host.socket).stat().st_mode) == 0o600


def test_attach_before_start_misses_nothing_and_half_close_keeps_output(host: Host) -> None:
    id = made(host, "sh", "-c", "cat; echo bye; echo err >&2", OpenStdin=True)
    with connect(host) as sock:
        sock.sendall(upgrade(f"/v1.41/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"))
        start, rest = head(sock)
        assert start.split(b"\r\n") == [
            b"HTTP/1.1 101 UPGRADED",
            b"Content-Type: application/vnd.docker.raw-stream",
            b"Connection: Upgrade",
            b"Upgrade: tcp",
        ]
        host.json("POST", f"/containers/{id}/start")
        sock.sendall(b"hello\n")
        sock.shutdown(socket.SHUT_WR)
        got = frames(everything(sock, rest))
    assert b"".join(data for stream, data in got if stream == 1) == b"hello\nbye\n"
    assert b"".join(data for stream, data in got if stream == 2) == b"err\n"


def test_the_media_type_says_framed_from_1_42_on(host: Host) -> None:
    id = running(host, "true")
    for version, tty, kind in (("1.42", False, "multiplexed"), ("1.41", False, "raw"), ("1.47", True, "raw")):
        one = made(host, "true", Tty=tty) if tty else id
        with connect(host) as sock:
            sock.sendall(upgrade(f"/v{version}/containers/{one}/attach?stream=1&stdout=1"))
            assert f"application/vnd.docker.{kind}-stream".encode() in head(sock)[0]


def test_bytes_sent_before_our_101_arrive(host: Host) -> None:
    id = running(host, "sleep", "60")
    body = {"Cmd": ["head", "-c", "20"], "AttachStdin": True, "AttachStdout": True}
    exec_id = host.json("POST", f"/containers/{id}/exec", body)[1]["Id"]
    with connect(host) as sock:
        request = upgrade(f"/exec/{exec_id}/start", {"Detach": False}, b"early bird")
        sock.sendall(request[:-15])  # the body in two packets, the second with what comes too early
        time.sleep(0.05)
        sock.sendall(request[-15:])
        sock.sendall(b" and worm!")
        _, rest = head(sock)
        assert frames(everything(sock, rest)) == [(1, b"early bird and worm!")]
    attached = made(host, "cat", OpenStdin=True, Tty=False)
    with connect(host) as sock:
        sock.sendall(upgrade(f"/containers/{attached}/attach?stream=1&stdin=1&stdout=1", None, b"soon"))
        _, rest = head(sock)
        host.json("POST", f"/containers/{attached}/start")
        sock.shutdown(socket.SHUT_WR)
        assert frames(everything(sock, rest)) == [(1, b"soon")]
    host.json("POST", f"/containers/{id}/kill")


def test_a_declined_upgrade_leaves_the_connection_to_http(host: Host) -> None:
    with connect(host) as sock:
        sock.sendall(
            upgrade("/containers/nobody/attach?stream=1", None, b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        )
        start, rest = head(sock)
        assert start.startswith(b"HTTP/1.1 404 Not Found")
        while b"\r\n\r\nOK" not in rest:
            more = sock.recv(4096)
            assert more, rest
            rest += more
        assert b"HTTP/1.1 200 OK" in rest


def test_without_an_upgrade_header_the_stream_is_a_200(host: Host) -> None:
    id = running(host, "sleep", "60")
    exec_id = host.json("POST", f"/containers/{id}/exec", {"Cmd": ["echo", "x"], "AttachStdout": True})[1][
        "Id"
    ]
    with connect(host) as sock:
        sock.sendall(
            f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )
        start, rest = head(sock)
        assert start.startswith(b"HTTP/1.1 200 OK")
        assert frames(everything(sock, rest)) == [(1, b"x\n")]
    status, body = host.json("POST", f"/exec/{exec_id}/start", {})
    assert (status, body["message"]) == (
        409,
        f"Error: Exec command {exec_id} is already running or has ended",
    )
    host.json("POST", f"/containers/{id}/kill")


def test_exec_of_what_is_not_there_is_told_in_the_stream(host: Host) -> None:
    id = running(host, "sleep", "60")
    exec_id = host.json("POST", f"/containers/{id}/exec", {"Cmd": ["nonono"], "AttachStdout": True})[1]["Id"]
    with connect(host) as sock:
        sock.sendall(upgrade(f"/exec/{exec_id}/start", {}))
        _, rest = head(sock)
        text = b'exec: "nonono": executable file not found in $PATH: no such file or directory\r\n'
        assert frames(everything(sock, rest)) == [(2, text)]
    assert host.json("GET", f"/exec/{exec_id}/json")[1]["ExitCode"] == 127
    host.json("POST", f"/containers/{id}/kill")


def test_exec_detached(host: Host, tmp_path: Path) -> None:
    id = running(host, "sleep", "60")
    body = {"Cmd": ["touch", str(tmp_path / "done")], "DetachKeys": "ctrl-a"}
    exec_id = host.json("POST", f"/containers/{id}/exec", body)[1]["Id"]
    assert host.json("POST", f"/exec/{exec_id}/start", {"Detach": True}) == (200, None)
    host.run(host.engine.execs[exec_id][2].ended.wait())
    assert (tmp_path / "done").exists()
    host.json("POST", f"/containers/{id}/kill")


def test_a_terminal_is_raw_resizes_and_detaches_by_keys(host: Host) -> None:
    id = running(host, "cat", Tty=True, OpenStdin=True)
    with connect(host) as sock:
        sock.sendall(upgrade(f"/containers/{id}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x,q"))
        _, rest = head(sock)
        assert host.json("POST", f"/containers/{id}/resize?h=33&w=101")[0] == 200
        assert host.engine.box(id).process.size == (33, 101)
        sock.sendall(b"a\x18b\n")  # half a sequence is passed on when it does not become one
        seen = rest
        while b"b" not in seen:
            seen += sock.recv(100)
        sock.sendall(b"\x18q")
        everything(sock)
    assert host.json("GET", f"/containers/{id}/json")[1]["State"]["Running"] is True
    assert host.engine.box(id).process.clients == set()
    host.json("POST", f"/containers/{id}/kill")


def test_wait_sends_its_headers_at_once(host: Host) -> None:
    for condition in ("next-exit", "not-running", ""):
        id = made(host, "sh", "-c", "exit 9")
        if condition != "next-exit":
            id = running(host, "sh", "-c", "sleep 0.3; exit 9")
        with connect(host) as sock:
            sock.sendall(
                f"POST /containers/{id}/wait?condition={condition} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            start, rest = head(sock)
            assert start.startswith(b"HTTP/1.1 200 OK")
            assert b"Content-Type: application/json\r\n" in start
            assert rest == b""
            if condition == "next-exit":
                host.json("POST", f"/containers/{id}/start")
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += sock.recv(4096)
            assert json.loads(data.split(b"\r\n")[1]) == {"StatusCode": 9}


def test_wait_for_removal_answers_when_it_is_gone(host: Host) -> None:
    id = running(host, "sleep", "0.2", HostConfig={"AutoRemove": True})
    assert host.json("POST", f"/containers/{id}/wait?condition=removed") == (200, {"StatusCode": 0})
    assert host.json("GET", f"/containers/{id}/json")[0] == 404


def test_logs_framed_raw_stamped_and_followed(host: Host) -> None:
    id = running(host, "sh", "-c", "echo one; echo two >&2; echo three")
    host.json("POST", f"/containers/{id}/wait")
    data = host.request("GET", f"/containers/{id}/logs?stdout=1&stderr=1")[2]
    assert sorted(frames(data)) == [(1, b"one\n"), (1, b"three\n"), (2, b"two\n")]
    assert frames(host.request("GET", f"/containers/{id}/logs?stderr=1")[2]) == [(2, b"two\n")]
    stamped = frames(host.request("GET", f"/containers/{id}/logs?stdout=1&timestamps=1&tail=1")[2])
    assert stamped[0][1].endswith(b"Z three\n")
    tty = running(host, "echo", "plain", Tty=True)
    host.json("POST", f"/containers/{tty}/wait")
    assert host.request("GET", f"/containers/{tty}/logs?stdout=1&follow=1")[2] == b"plain\r\n"


def test_events_come_as_they_happen_with_old_and_new_fields(host: Host) -> None:
    with connect(host) as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        head(sock)
        id = running(host, "true")
        data = b""
        while b'"die"' not in data:
            data += sock.recv(65536)
    event = next(json.loads(line) for line in data.split(b"\r\n") if b'"die"' in line)
    assert (event["status"], event["id"], event["from"]) == ("die", id, "busybox:1")
    assert (event["Type"], event["Action"], event["Actor"]["ID"]) == ("container", "die", id)
    assert event["Actor"]["Attributes"]["exitCode"] == "0"
    assert event["timeNano"] // 10**9 == event["time"]
    assert _soon(lambda: not host.engine.listeners)


def test_a_client_that_hangs_up_is_noticed_though_nothing_is_said(host: Host) -> None:
    id = running(host, "sleep", "60", OpenStdin=True)
    process = host.engine.box(id).process
    sock = connect(host)
    sock.sendall(upgrade(f"/containers/{id}/attach?stream=1&stdin=1&stdout=1"))
    head(sock)
    assert len(process.clients) == 1
    sock.shutdown(socket.SHUT_WR)  # the end of input is no hang-up
    time.sleep(0.3)
    assert len(process.clients) == 1
    sock.close()
    assert _soon(lambda: not process.clients)
    waiting = connect(host)
    waiting.sendall(f"POST /containers/{id}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head(waiting)
    waiting.close()
    host.json("POST", f"/containers/{id}/kill")


def test_fifty_hijacks_leave_no_connection_and_no_descriptor(host: Host) -> None:
    id = running(host, "sleep", "60")

    def once() -> None:
        exec_id = host.json("POST", f"/containers/{id}/exec", {"Cmd": ["true"], "AttachStdout": True})[1][
            "Id"
        ]
        with connect(host) as sock:
            sock.sendall(upgrade(f"/exec/{exec_id}/start", {}))
            everything(sock)

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        once()
    assert _soon(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)
    host.json("POST", f"/containers/{id}/kill")


def test_50_mb_through_a_pipe_unharmed_in_bounded_memory(host: Host) -> None:
    size = 50 << 20
    piece = os.urandom(1 << 20)
    id = made(host, "cat", OpenStdin=True, StdinOnce=True)
    sent, got, count = hashlib.sha256(), hashlib.sha256(), 0
    with connect(host) as sock:
        sock.sendall(upgrade(f"/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"))
        _, buffer = head(sock)
        host.json("POST", f"/containers/{id}/start")

        def feed() -> None:
            for n in range(size >> 20):
                block = piece[n:] + piece[:n]
                sent.update(block)
                sock.sendall(block)
            sock.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=feed)
        writer.start()
        while more := sock.recv(1 << 18):
            buffer += more
            while len(buffer) >= 8:
                length = struct.unpack(">BxxxI", buffer[:8])[1]
                if len(buffer) < 8 + length:
                    break
                got.update(buffer[8 : 8 + length])
                count += length
                buffer = buffer[8 + length :]
        writer.join()
    assert (count, buffer) == (size, b"")
    assert sent.digest() == got.digest()


def test_a_client_that_does_not_read_holds_the_process_back(host: Host) -> None:
    id = made(host, "sh", "-c", "yes | head -c 60000000")
    with connect(host) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(upgrade(f"/containers/{id}/attach?stream=1&stdout=1"))
        _, rest = head(sock)
        host.json("POST", f"/containers/{id}/start")
        time.sleep(0.7)
        assert host.engine.box(id).container.state.status == "running"
        total = len(rest)
        while more := sock.recv(1 << 18):
            total += len(more)
    assert total > 60_000_000


def test_a_stop_goes_on_when_its_client_leaves(host: Host) -> None:
    id = running(host, "sleep", "60")
    with connect(host) as sock:
        sock.sendall(f"POST /containers/{id}/stop HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert _soon(lambda: ("stop", None, "") in host.engine.calls)
    assert _soon(lambda: host.engine.box(id).container.state.status == "exited")


def test_garbage_and_giant_heads_are_refused(host: Host) -> None:
    for data, status in (
        (b"hello\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /_ping HTTP/1.1\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", b"400"),
    ):
        with connect(host) as sock:
            try:
                sock.sendall(data)
                answer = sock.recv(4096)
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert answer.split(b" ")[1] == status
    assert host.request("GET", "/_ping")[0] == 200


def test_down_ends_open_streams_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("d")
    with serving(folder) as host:
        id = running(host, "sleep", "60", OpenStdin=True)
        events = connect(host)
        events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        head(events)
        attached = connect(host)
        attached.sendall(upgrade(f"/containers/{id}/attach?stream=1&stdin=1&stdout=1"))
        head(attached)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert events.recv(10) == b""
    events.close()
    attached.close()


def test_secrets_without_a_component_say_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("n"), secrets=False) as host:
        assert host.json("GET", "/secrets") == (
            503,
            {
                "message": "no secrets in this platform - its blueprint names no secrets component\n"
                "hint: add `secrets: age` under components and build again"
            },
        )


def _soon(true: Any, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())
