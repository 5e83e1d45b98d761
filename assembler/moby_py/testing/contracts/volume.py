"""What every `volume` component promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moby_py.errors import Conflict, InvalidArgument
from moby_py.kinds import VolumeDriver
from moby_py.model import Volume
from moby_py.testing.contracts.component import ComponentContract, with_defaults
from moby_py.testing.room import make_context

ONE, TWO = "c0de" * 16, "beef" * 16


class VolumeContract(ComponentContract):
    """Override `options` where the component needs some, `volume_options` where its volumes do."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def volume_options(self) -> dict[str, str]:
        """As `docker volume create -o KEY=VALUE` gives them."""
        return {}

    @pytest.fixture
    def reopen(
        self, tmp_path: Path, options: dict[str, Any], binaries: dict[str, Path]
    ) -> Callable[[], VolumeDriver]:
        """A component opened on the same directories, as after a daemon's restart."""

        def make() -> VolumeDriver:
            cls = self.component_class
            context = make_context(cls, tmp_path, options=with_defaults(cls, options), binaries=binaries)
            component = cls(context)
            assert isinstance(component, VolumeDriver)
            asyncio.run(component.open())
            return component

        return make

    @pytest.fixture
    def driver(self, reopen: Callable[[], VolumeDriver]) -> Iterator[VolumeDriver]:
        component = reopen()
        yield component
        asyncio.run(component.close())

    @pytest.fixture
    def volume(self, driver: VolumeDriver, volume_options: dict[str, str]) -> Iterator[Volume]:
        made = Volume(
            name="kit-data", driver=driver.name, mountpoint="", created="", options=dict(volume_options)
        )
        asyncio.run(driver.create(made))
        yield made

        async def clear() -> None:
            for user in (ONE, TWO):
                await driver.unmount(made, user)
            await driver.remove(made)

        asyncio.run(clear())

    def test_options_it_does_not_know_are_refused(self, driver: VolumeDriver) -> None:
        with pytest.raises(InvalidArgument):
            driver.check("kit-data", {"surely-no-such-option": "1"})

    def test_names_that_climb_are_refused(self, driver: VolumeDriver, volume_options: dict[str, str]) -> None:
        for name in ("../kit", "..", "/kit", "kit/../../x", "kit\0x"):
            with pytest.raises(InvalidArgument):
                driver.check(name, volume_options)

    def test_a_check_has_no_effect(
        self, driver: VolumeDriver, volume_options: dict[str, str], tmp_path: Path
    ) -> None:
        before = sorted(tmp_path.rglob("*"))
        driver.check("kit-other", volume_options)
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_mount_is_a_folder_to_write_in(self, driver: VolumeDriver, volume: Volume) -> None:
        folder = asyncio.run(driver.mount(volume, ONE))
        assert folder.is_absolute()
        assert list(folder.iterdir()) == []
        (folder / "f").write_text("data")

    def test_the_mountpoint_is_always_the_same(self, driver: VolumeDriver, volume: Volume) -> None:
        before = driver.mountpoint(volume)
        asyncio.run(driver.mount(volume, ONE))
        assert driver.mountpoint(volume) == before

    def test_all_users_see_the_same_data(self, driver: VolumeDriver, volume: Volume) -> None:
        first, second = (asyncio.run(driver.mount(volume, user)) for user in (ONE, TWO))
        (first / "f").write_text("data")
        assert (second / "f").read_text() == "data"
        assert asyncio.run(driver.mount(volume, ONE)) == first

    def test_one_user_less_is_not_the_end(self, driver: VolumeDriver, volume: Volume) -> None:
        first, second = (asyncio.run(driver.mount(volume, user)) for user in (ONE, TWO))
        (first / "f").write_text("data")
        for _ in range(2):
            asyncio.run(driver.unmount(volume, ONE))
        assert (second / "f").read_text() == "data"

    def test_data_stays_when_nobody_uses_it(self, driver: VolumeDriver, volume: Volume) -> None:
        (asyncio.run(driver.mount(volume, ONE)) / "f").write_text("data")
        asyncio.run(driver.unmount(volume, ONE))
        asyncio.run(driver.unmount(volume, "nobody"))
        assert (asyncio.run(driver.mount(volume, TWO)) / "f").read_text() == "data"

    def test_create_again_changes_nothing(self, driver: VolumeDriver, volume: Volume) -> None:
        folder = asyncio.run(driver.mount(volume, ONE))
        (folder / "f").write_text("data")
        asyncio.run(driver.create(volume))
        assert (folder / "f").read_text() == "data"

    def test_a_restart_finds_data_and_users(
        self, driver: VolumeDriver, volume: Volume, reopen: Callable[[], VolumeDriver]
    ) -> None:
        """As after a killed daemon: nobody closed the old one."""
        folder = asyncio.run(driver.mount(volume, ONE))
        (folder / "f").write_text("data")
        again = reopen()
        asyncio.run(again.recover({volume.name: [ONE]}, [volume]))
        assert (folder / "f").read_text() == "data", "a container that lives on uses it"
        asyncio.run(again.unmount(volume, ONE))
        assert (asyncio.run(again.mount(volume, TWO)) / "f").read_text() == "data"
        asyncio.run(again.unmount(volume, TWO))
        asyncio.run(driver.unmount(volume, ONE))
        asyncio.run(again.close())

    def test_a_recovery_lets_go_of_users_that_are_gone(
        self, driver: VolumeDriver, volume: Volume, reopen: Callable[[], VolumeDriver]
    ) -> None:
        (asyncio.run(driver.mount(volume, ONE)) / "f").write_text("data")
        again = reopen()
        asyncio.run(again.recover({}, [volume]))
        assert (asyncio.run(again.mount(volume, TWO)) / "f").read_text() == "data"
        asyncio.run(again.unmount(volume, TWO))
        asyncio.run(again.close())

    def test_removed_data_is_gone(self, driver: VolumeDriver, volume: Volume) -> None:
        (asyncio.run(driver.mount(volume, ONE)) / "f").write_text("data")
        asyncio.run(driver.unmount(volume, ONE))
        for _ in range(2):
            asyncio.run(driver.remove(volume))
        asyncio.run(driver.create(volume))
        assert list(asyncio.run(driver.mount(volume, ONE)).iterdir()) == []

    def test_usage_counts_the_data_or_nothing(self, driver: VolumeDriver, volume: Volume) -> None:
        (asyncio.run(driver.mount(volume, ONE)) / "f").write_bytes(b"x" * 70_000)
        found = asyncio.run(driver.usage(volume))
        assert found == -1 or found >= 70_000

    def test_it_is_filled_all_at_once(self, driver: VolumeDriver, volume: Volume) -> None:
        async def work(folder: Path) -> None:
            assert list(folder.iterdir()) == []
            (folder / "d").mkdir()
            (folder / "d/f").write_text("data")
            folder.chmod(0o711)

        asyncio.run(driver.fill(volume, work))
        folder = asyncio.run(driver.mount(volume, ONE))
        assert [path.name for path in folder.iterdir()] == ["d"]
        assert (folder / "d/f").read_text() == "data"
        assert folder.stat().st_mode & 0o7777 == 0o711

    def test_a_filling_that_fails_leaves_it_empty(self, driver: VolumeDriver, volume: Volume) -> None:
        async def work(folder: Path) -> None:
            (folder / "half").write_text("data")
            raise InvalidArgument("no good")

        with pytest.raises(InvalidArgument, match=r"^no good$"):
            asyncio.run(driver.fill(volume, work))
        assert list(asyncio.run(driver.mount(volume, ONE)).iterdir()) == []

    def test_data_is_never_filled_over(self, driver: VolumeDriver, volume: Volume) -> None:
        (asyncio.run(driver.mount(volume, ONE)) / "f").write_text("data")
        asyncio.run(driver.unmount(volume, ONE))

        async def work(folder: Path) -> None:
            (folder / "f").write_text("other")

        with pytest.raises(Conflict):
            asyncio.run(driver.fill(volume, work))
        assert (asyncio.run(driver.mount(volume, ONE)) / "f").read_text() == "data"
