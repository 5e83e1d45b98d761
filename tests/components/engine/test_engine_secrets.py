"""Secrets reach the container's process and nobody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engine_house import house, run

from moby_components.common.mounts import mounted_under
from moby_components.secrets.age import moby_components
from moby_py.errors import InvalidArgument, NotFound
from support.context import make_context

VALUE = b"correct horse battery staple"
MOUNT = {"Type": "secret", "Source": "db_password", "Target": "/run/secrets/db"}
(AGE,) = moby_components()


@pytest.mark.root
def test_delivered_as_a_file_and_kept_nowhere(tmp_path: Path) -> None:
    async def work() -> None:
        keeper = AGE(make_context(AGE, tmp_path))
        await keeper.open()
        await keeper.create("db_password", VALUE)
        async with house(tmp_path, secrets=keeper) as home:
            id = await home.launch("sleep", "60", User="web", host={"Mounts": [MOUNT]})
            assert home.runtime.seen[id]["/run/secrets/db"] == VALUE
            mount = next(m for m in home.runtime.specs[id].mounts if m.target == "/run/secrets/db")
            assert {"ro", "bind"} <= set(mount.options)
            # The host's side is gone as soon as the runtime has it; a fake runtime keeps nothing alive.
            assert not Path(mount.source).exists()
            assert mounted_under(home.run / "secrets") == []
            shown = await home.engine.inspect(id)
            assert VALUE.decode() not in str(shown)
            await home.engine.remove(id, force=True)
            for path in tmp_path.rglob("*"):
                if path.is_file():
                    assert VALUE not in path.read_bytes(), path
        await keeper.close()

    run(work)


@pytest.mark.root
def test_a_file_belongs_to_the_containers_user(tmp_path: Path) -> None:
    from moby_components.engine.moby.secrets_mount import deliver, withdraw

    folder = tmp_path / "s"
    files = deliver(folder, {"/run/secrets/a": b"1", "/run/secrets/b": b"x" * 500_000}, uid=33, gid=34)
    try:
        for path in files.values():
            seen = path.stat()
            assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (33, 34, 0o400)
        assert files["/run/secrets/b"].stat().st_size == 500_000
        assert folder.stat().st_mode & 0o7777 == 0o700
    finally:
        withdraw(folder)
    assert not folder.exists()
    withdraw(folder)


def test_missing_secrets_are_named(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", host={"Mounts": [MOUNT]})
            text = "this platform keeps no secrets - a mount of type secret was asked for"
            with pytest.raises(InvalidArgument, match=f"^{text}$"):
                await home.engine.start(id)
            keeper = AGE(make_context(AGE, tmp_path))
            await keeper.open()
            home.wiring.add("secrets", "age", keeper)
            text = "secret db_password does not exist - the container mounts it at /run/secrets/db"
            with pytest.raises(NotFound, match=f"^{re.escape(text)}$"):
                await home.engine.start(id)
            await keeper.close()
            assert (await home.engine.inspect(id)).state.error == text

    run(work)
