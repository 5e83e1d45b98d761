"""What every `runtime` component promises, shown on real containers.

Needs root (or whatever the component needs) and a static busybox; `rootfs` may be overridden.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from moby_py.errors import NotFound
from moby_py.kinds import Runtime
from moby_py.model import ContainerIO, ContainerSpec, ProcessSpec, RootFS, Sandbox, Streams
from moby_py.testing.contracts.component import ComponentContract, with_defaults
from moby_py.testing.room import make_context

R = TypeVar("R")
APPLETS = ("sh", "echo", "cat", "sleep", "true", "false", "kill", "id", "pwd", "env", "ls", "head", "wc")
Work = Callable[[Runtime], Coroutine[Any, Any, R]]


async def everything(streams: Streams) -> bytes:
    """All output of both streams until their end."""
    out = b""
    while (piece := await streams.read()) is not None:
        out += piece[1]
    await streams.close()
    return out


class RuntimeContract(ComponentContract):
    """Override `options`, `binaries` or `rootfs` where the component needs others."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def rootfs(self, tmp_path: Path) -> RootFS:
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("needs busybox (apt-get install busybox-static)")
        root = tmp_path / "rootfs"
        for folder in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            (root / folder).mkdir(parents=True)
        shutil.copy(busybox, root / "bin/busybox")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nkit:x:1234:1234::/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\nkit:x:1234:\n")
        return RootFS(image="kit", path=str(root))

    @pytest.fixture
    def run(
        self, tmp_path: Path, options: dict[str, Any], binaries: dict[str, Path]
    ) -> Iterator[Callable[[Work[Any]], Any]]:
        """`run(work)`: open the component, await work(runtime), delete what is left, close."""
        if os.geteuid() != 0:
            pytest.skip("needs root")
        cls = self.component_class

        async def whole(work: Work[Any]) -> Any:
            runtime = cls(make_context(cls, tmp_path, options=with_defaults(cls, options), binaries=binaries))
            assert isinstance(runtime, Runtime)
            await runtime.open()
            try:
                return await asyncio.wait_for(work(runtime), 60)
            finally:
                for state in await runtime.recover():
                    await runtime.delete(state.id)
                await runtime.close()

        yield lambda work: asyncio.run(whole(work))

    @staticmethod
    def spec(*args: str, **changes: Any) -> ContainerSpec:
        id = secrets.token_hex(32)
        process = ProcessSpec(args=args, env=("PATH=/bin", "KIT=yes"), **changes.pop("process", {}))
        return ContainerSpec(
            id=id, name=f"kit-{id[:8]}", image="kit", image_id="sha256:kit", process=process, **changes
        )

    async def _play(
        self, runtime: Runtime, rootfs: RootFS, spec: ContainerSpec, feed: bytes | None = None
    ) -> tuple[bytes, int]:
        io = ContainerIO(stdin=feed is not None, stdin_once=True)
        assert (await runtime.create(spec, rootfs, Sandbox(mode="empty"), io)).status == "created"
        streams = await runtime.attach(spec.id)
        await runtime.start(spec.id)
        reader = asyncio.ensure_future(everything(streams))
        if feed is not None:
            await streams.write(feed)
            await streams.close_stdin()
        output, status = await reader, await runtime.wait(spec.id)
        await runtime.delete(spec.id)
        return output, status.code

    def test_output_and_exit_code_are_reported(self, run: Any, rootfs: RootFS) -> None:
        spec = self.spec("sh", "-c", "echo $KIT; exit 7")
        assert run(lambda r: self._play(r, rootfs, spec)) == (b"yes\n", 7)

    def test_output_is_not_lost_on_a_fast_exit(self, run: Any, rootfs: RootFS) -> None:
        async def work(runtime: Runtime) -> None:
            for _ in range(5):
                assert await self._play(runtime, rootfs, self.spec("echo", "quick")) == (b"quick\n", 0)

        run(work)

    def test_stdin_reaches_it_and_ends(self, run: Any, rootfs: RootFS) -> None:
        spec = self.spec("cat")
        assert run(lambda r: self._play(r, rootfs, spec, b"over and back")) == (b"over and back", 0)

    def test_a_signal_death_is_128_plus_n_and_kill_twice_is_no_harm(self, run: Any, rootfs: RootFS) -> None:
        async def work(runtime: Runtime) -> int:
            spec = self.spec("sleep", "60")
            await runtime.create(spec, rootfs, Sandbox(mode="empty"), ContainerIO())
            await runtime.start(spec.id)
            assert (await runtime.state(spec.id)).status == "running"
            await runtime.kill(spec.id, signal.SIGKILL)
            first, second = await asyncio.gather(runtime.wait(spec.id), runtime.wait(spec.id))
            assert first == second
            assert (await runtime.state(spec.id)).status == "stopped"
            await runtime.delete(spec.id)
            await runtime.delete(spec.id)
            return first.code

        assert run(work) == 137

    def test_exec_runs_beside_it(self, run: Any, rootfs: RootFS) -> None:
        async def work(runtime: Runtime) -> tuple[bytes, int]:
            spec = self.spec("sleep", "60")
            await runtime.create(spec, rootfs, Sandbox(mode="empty"), ContainerIO())
            await runtime.start(spec.id)
            process = ProcessSpec(args=("sh", "-c", "id -u; exit 3"), env=("PATH=/bin",), user="kit")
            exec_id = secrets.token_hex(32)
            streams = await runtime.exec(spec.id, exec_id, process, ContainerIO(), attach=True)
            assert streams is not None
            output = await everything(streams)
            status = await runtime.wait(spec.id, exec_id)
            await runtime.delete(spec.id)
            return output, status.code

        assert run(work) == (b"1234\n", 3)

    def test_a_missing_program_is_told_in_words_that_docker_knows(self, run: Any, rootfs: RootFS) -> None:
        async def work(runtime: Runtime) -> str:
            spec = self.spec("surely-not-there")
            try:
                await runtime.create(spec, rootfs, Sandbox(mode="empty"), ContainerIO())
                await runtime.start(spec.id)
            except Exception as error:
                return str(error)
            finally:
                await runtime.delete(spec.id)
            return "no error"

        text = run(work)
        assert "executable file" in text or "no such file or directory" in text.lower()

    def test_an_unknown_container_is_not_found(self, run: Any) -> None:
        async def work(runtime: Runtime) -> None:
            for call in (runtime.start("0" * 64), runtime.state("0" * 64), runtime.wait("0" * 64)):
                with pytest.raises(NotFound):
                    await call
            await runtime.delete("0" * 64)

        run(work)

    def test_recover_finds_what_lives_and_its_end(
        self, run: Any, rootfs: RootFS, tmp_path: Path, options: dict[str, Any], binaries: dict[str, Path]
    ) -> None:
        async def work(runtime: Runtime) -> int:
            spec = self.spec("sh", "-c", "cat; exit 9")
            io = ContainerIO(stdin=True, stdin_once=True)
            await runtime.create(spec, rootfs, Sandbox(mode="empty"), io)
            await runtime.start(spec.id)
            cls = self.component_class
            second = cls(make_context(cls, tmp_path, options=with_defaults(cls, options), binaries=binaries))
            assert isinstance(second, Runtime)
            await second.open()
            assert [(s.id, s.status) for s in await second.recover()] == [(spec.id, "running")]
            streams = await second.attach(spec.id)
            await streams.close_stdin()
            status = await second.wait(spec.id)
            await streams.close()
            await second.delete(spec.id)
            await second.close()
            return status.code

        assert run(work) == 9
