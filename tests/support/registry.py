"""A real registry (Debian's docker-registry) on a free loopback port, private to a test.

    with registry() as hub:                       # plain HTTP, no authentication
        hub.push(layout, "shop/app:1")            # skopeo copy oci:layout:... docker://...
    with registry(auth="basic", tls=True) as hub: # hub.username, hub.password, hub.ca

Fixtures (import them into a conftest or a test module): `hub` (fresh, per test) and `shared_hub`
(one per session, for tests that only read or use names of their own).
"""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from support.tokens import ISSUER, SERVICE, TokenServer, token_server

USERNAME, PASSWORD = "tester", "c0rrect-horse"
START_SECONDS = 20.0


@dataclass
class Registry:
    """`address` is "127.0.0.1:PORT", the domain of its references. `log` grows: one entry per line
    of the registry's own log and access log (`GET /v2/...`)."""

    address: str
    process: subprocess.Popen[str]
    root: Path
    auth: str = ""
    username: str = ""
    password: str = ""
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    tokens: TokenServer | None = None
    log: list[str] = field(default_factory=list)

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def blob(self, digest: str) -> Path:
        """Where it keeps a blob: for tests that damage one."""
        algorithm, _, encoded = digest.partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"

    def push(self, layout: Path, name: str, *, tag: str = "", every: bool = False, form: str = "") -> str:
        """`skopeo copy oci:layout:tag docker://address/name`; `every` copies all platforms of an index;
        `form` "v2s2" converts to Docker's media types. Returns the full reference."""
        target = f"{self.address}/{name}"
        argv = ["skopeo", "copy", "--insecure-policy", *self._skopeo("dest-")]
        argv += ["--all"] if every else []
        argv += ["--format", form] if form else ["--preserve-digests"]
        source = f"oci:{layout}:{tag}" if tag else f"oci:{layout}"
        self._run([*argv, source, f"docker://{target}"])
        return target

    def fetch(self, name: str, layout: Path, tag: str = "latest", *, every: bool = False) -> None:
        """`skopeo copy docker://address/name oci:layout:tag`: a second opinion on what was pushed."""
        argv = ["skopeo", "copy", "--insecure-policy", *self._skopeo("src-")]
        argv += ["--all"] if every else []
        self._run([*argv, f"docker://{self.address}/{name}", f"oci:{layout}:{tag}"])

    def inspect(self, name: str) -> dict[str, Any]:
        """`skopeo inspect`."""
        out = self._run(["skopeo", "inspect", *self._skopeo(""), f"docker://{self.address}/{name}"])
        return dict(json.loads(out))

    def _skopeo(self, side: str) -> list[str]:
        argv = [f"--{side}tls-verify=false"]
        if self.username:
            argv.append(f"--{side}creds={self.username}:{self.password}")
        if self.client_cert:
            argv.append(f"--{side}cert-dir={self.client_cert.parent}")
        return argv

    @staticmethod
    def _run(argv: list[str]) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise AssertionError(f"{argv[0]} {argv[1]} failed: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def registry(
    *,
    auth: Literal["", "basic", "token"] = "",
    tls: bool = False,
    client_certificates: bool = False,
    environ: dict[str, str] | None = None,
    http: dict[str, Any] | None = None,
) -> Iterator[Registry]:
    """Start one, wait until it listens, stop it by its pid and delete its storage.

    `client_certificates` (with tls) makes it demand one; `http` is merged into its `http:` section.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moby-py-registry-")))
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(root / "storage")},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
            },
            "http": {"addr": "127.0.0.1:0", "secret": "test", **(http or {})},
        }
        details: dict[str, Any] = {"root": root, "auth": auth}
        if tls:
            details["ca"] = ca = make_certificate(root, "ca")
            make_certificate(root, "server", issuer="ca")
            config["http"]["tls"] = {
                "certificate": str(root / "server.cert"),
                "key": str(root / "server.key"),
            }
            if client_certificates:
                folder = root / "client"
                folder.mkdir()
                details["client_cert"] = make_certificate(root, "client", issuer="ca").rename(
                    folder / "client.cert"
                )
                details["client_key"] = (root / "client.key").rename(folder / "client.key")
                config["http"]["tls"]["clientcas"] = [str(ca)]
        if auth:
            details |= {"username": USERNAME, "password": PASSWORD}
        if auth == "basic":
            htpasswd = root / "htpasswd"
            htpasswd.write_text(f"{USERNAME}:{bcrypt(PASSWORD)}\n")
            config["auth"] = {"htpasswd": {"realm": "test registry", "path": str(htpasswd)}}
        elif auth == "token":
            bundle = make_certificate(root, "tokens")
            tokens = stack.enter_context(
                token_server(root / "tokens.key", bundle, username=USERNAME, password=PASSWORD)
            )
            details["tokens"] = tokens
            config["auth"] = {
                "token": {
                    "realm": tokens.url,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(bundle),
                }
            }
        file = root / "config.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        yield stack.enter_context(_running(file, details, environ or {}))


@contextmanager
def _running(config: Path, details: dict[str, Any], environ: dict[str, str]) -> Iterator[Registry]:
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    process = subprocess.Popen(
        [binary, "serve", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # it dies by SIGPIPE when this process is killed
        text=True,
        env={"PATH": "/usr/bin:/bin", **environ},
    )
    assert process.stdout
    found = Registry(address="", process=process, **details)
    listening = threading.Event()

    def read(stream: Any) -> None:
        for line in stream:
            found.log.append(line.rstrip("\n"))
            if match := re.search(r'msg="listening on (127\.0\.0\.1:\d+)', line):
                found.address = match[1]
                listening.set()
        listening.set()  # end of file: it died

    reader = threading.Thread(target=read, args=(process.stdout,), name="registry-log")
    reader.start()
    try:
        listening.wait(START_SECONDS)
        if not found.address:
            raise AssertionError("docker-registry did not start:\n" + "\n".join(found.log[-5:]))
        yield found
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


def make_certificate(folder: Path, name: str, *, issuer: str = "") -> Path:
    """FOLDER/NAME.cert and NAME.key for 127.0.0.1, ::1 and localhost; self-signed without `issuer`."""
    cert, key = folder / f"{name}.cert", folder / f"{name}.key"
    names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"
    kind = ["rsa:2048"] if name == "tokens" else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    request = ["openssl", "req", "-newkey", *kind, "-nodes", "-keyout", str(key), "-subj", f"/CN={name}"]
    if not issuer:
        argv = [*request, "-x509", "-days", "2", "-out", str(cert), "-addext", names]
        subprocess.run(argv, check=True, capture_output=True)
        return cert
    csr = folder / f"{name}.csr"
    subprocess.run([*request, "-out", str(csr)], check=True, capture_output=True)
    extensions = folder / f"{name}.ext"
    extensions.write_text(names + "\n")
    ca = ["-CA", str(folder / f"{issuer}.cert"), "-CAkey", str(folder / f"{issuer}.key"), "-CAcreateserial"]
    argv = ["openssl", "x509", "-req", "-in", str(csr), *ca, "-days", "2", "-out", str(cert)]
    subprocess.run([*argv, "-extfile", str(extensions)], check=True, capture_output=True)
    return cert


def bcrypt(password: str) -> str:
    """A bcrypt hash by libcrypt: the only form docker-registry takes in htpasswd files."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return str(library.crypt(password.encode(), b"$2y$04$" + b"a" * 22).decode())


@pytest.fixture
def hub() -> Iterator[Registry]:
    with registry() as found:
        yield found


@pytest.fixture(scope="session")
def shared_hub() -> Iterator[Registry]:
    with registry() as found:
        yield found
