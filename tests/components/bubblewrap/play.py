"""The table inside an ordinary user's namespace; started by test_bubblewrap_operations."""

from __future__ import annotations

import asyncio
import json
import traceback
from pathlib import Path


async def _all(home: Path, names: list[str]) -> dict[str, str]:
    from components.bubblewrap.operations import TABLE
    from components.bubblewrap.room import room
    from moby_py.errors import Unsupported

    results = {}
    for name in names or TABLE:
        work = TABLE[name]
        try:
            async with room(home / name[:20], rootless=True) as made:
                await asyncio.wait_for(work(made), 60)
            results[name] = ""
        except BaseException:
            results[name] = traceback.format_exc()
    async with room(home / "f", rootless=True) as made:
        features = " ".join(sorted((await made.runtime.fingerprint()).features))
        id = await made.create(made.spec("sleep", "60"))
        await made.runtime.start(id)
        try:
            await made.runtime.pause(id)
        except Unsupported as error:
            results["features"] = f"{features} | {error.message} | {error.hint}"
    return results


def main(home: str, *names: str) -> None:
    from moby_py import rootless

    run = Path(home) / "keeper"
    rootless.enter(run)
    try:
        results = asyncio.run(_all(Path(home), list(names)))
        (Path(home) / "results.json").write_text(json.dumps(results))
    finally:
        rootless.leave(run)
