"""The rule of threads: one that writes is waited for, however often its caller is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from moby_components.image_store.overlay.threads import in_thread


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_thread_is_waited_for_however_often_it_is_cancelled(times: int) -> None:
    async def main() -> list[str]:
        began, go, said = threading.Event(), threading.Event(), []

        def write() -> None:
            began.set()
            go.wait(10)
            said.append("written")
            raise OSError("seen by nobody")

        task = asyncio.create_task(in_thread(write))
        await asyncio.to_thread(began.wait, 10)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return said

    assert asyncio.run(main()) == ["written"]
