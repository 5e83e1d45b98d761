"""Volumes and mounts of a whole platform, asked for with the docker command: what containers see, and
what is left on the host."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

RUNTIMES = ("runc", "crun", "bubblewrap", "sandbox")
BLUEPRINT = """
blueprint: 1
name: volumes
components:
  runtime: [runc, crun, bubblewrap, {use: runsc, as: sandbox}]
  image_store: overlay
  network: none
"""
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line"),
    pytest.mark.skipif(shutil.which("runsc") is None, reason="needs runsc"),
]


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    with platform(BLUEPRINT) as running:
        running.docker("load", "-i", str(archive))
        yield running


def sh(moby: TestPlatform, script: str, *options: str, check: bool = True) -> str:
    done = moby.docker("run", "--rm", *options, BUSYBOX, "sh", "-c", script, check=check)
    return done.stdout + done.stderr


def mounts_below(path: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(str(path))]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_form_of_a_mount(moby: TestPlatform, runtime: str) -> None:
    host = moby.base / f"host-{runtime}"
    (host / "sub").mkdir(parents=True)
    (host / "file").write_text("from the host\n")
    name = f"forms-{runtime}"
    seen = sh(
        moby,
        "echo data > /v/x; cat /f /b/file; echo no > /r/x; echo no > /f; mount | grep ' /t ' ;"
        "stat -c %a /t; dd if=/dev/zero of=/t/big bs=1M count=3 2>/dev/null; stat -c %s /t/big; ls /anon",
        *("--runtime", runtime, "-v", f"{name}:/v", "-v", f"{host}:/b", "-v", f"{host}:/r:ro"),
        *("--mount", f"type=bind,source={host}/file,target=/f,readonly", "-v", "/anon"),
        *("--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0711"),
        check=False,
    )
    lines = seen.splitlines()
    assert lines[:2] == ["from the host", "from the host"]
    assert "tmpfs" in lines[2] or runtime == "sandbox"
    assert "711" in lines
    assert str(1 << 20) in lines
    assert seen.count("Read-only file system") == 2
    assert (host / "file").read_text() == "from the host\n"
    assert sh(moby, "cat /v/x", "-v", f"{name}:/v:ro", "--runtime", RUNTIMES[0]) == "data\n"
    assert moby.docker("volume", "ls", "-q").stdout == f"{name}\n", "the anonymous one went with --rm"
    moby.docker("volume", "rm", name)
    assert mounts_below(moby.run_dir / "engine/moby/stage") == []


def test_one_volume_two_runtimes(moby: TestPlatform) -> None:
    for runtime in RUNTIMES:
        moby.docker(
            "run", "-d", "--name", f"shares-{runtime}", "--runtime", runtime, "-v", "shared:/s",
            BUSYBOX, "sh", "-c", f"echo {runtime} > /s/{runtime}; exec sleep 60",
        )  # fmt: skip
    folder = Path(moby.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "shared").stdout.strip())
    wanted = sorted(RUNTIMES)
    for _ in range(100):
        if sorted(path.name for path in folder.iterdir()) == wanted:
            break
        subprocess.run(["sleep", "0.05"], check=True)
    for runtime in RUNTIMES:
        found = moby.docker("exec", f"shares-{runtime}", "ls", "/s").stdout.split()
        assert sorted(found) == wanted
    inspected = json.loads(moby.docker("inspect", "shares-runc").stdout)[0]["Mounts"]
    assert inspected == [
        {
            "Type": "volume",
            "Name": "shared",
            "Source": str(folder),
            "Destination": "/s",
            "Driver": "local",
            "Mode": "z",
            "RW": True,
            "Propagation": "",
        }
    ]
    table = moby.docker("system", "df", "-v").stdout.partition("Local Volumes space usage:")[2].split("\n")
    assert table[2].split() == ["VOLUME", "NAME", "LINKS", "SIZE"]
    assert table[3].split() == ["shared", "4", f"{sum(len(r) + 1 for r in RUNTIMES)}B"]
    refused = moby.docker("volume", "rm", "shared", check=False).stderr
    assert refused.startswith("Error response from daemon: remove shared: volume is in use - [")
    moby.docker("rm", "-f", *(f"shares-{runtime}" for runtime in RUNTIMES))
    moby.docker("volume", "rm", "shared")
    assert not folder.exists()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_image_as_a_volume(moby: TestPlatform, runtime: str) -> None:
    out = sh(
        moby,
        "ls /tool/bin/busybox /part/busybox; echo x > /tool/x",
        *("--runtime", runtime, "--mount", f"type=image,source={BUSYBOX},target=/tool"),
        *("--mount", f"type=image,source={BUSYBOX},target=/part,image-subpath=bin"),
        check=False,
    )
    assert out.startswith("/tool/bin/busybox\n/part/busybox\n") or "Read-only file system" in out
    assert "Read-only file system" in out
    assert mounts_below(moby.run_dir / "engine/moby/stage") == []


def test_an_image_that_is_mounted_stays_and_survives_a_killed_daemon(moby: TestPlatform) -> None:
    moby.docker("tag", BUSYBOX, "tool:1")
    moby.docker(
        "create", "--name", "uses", "--mount", "type=image,source=tool:1,target=/tool", BUSYBOX, "sleep", "60"
    )
    moby.docker("start", "uses")
    moby.kill_daemon()
    moby.up()
    assert moby.docker("exec", "uses", "ls", "/tool/bin/busybox").stdout == "/tool/bin/busybox\n"
    moby.docker("restart", "-t", "0", "uses")
    assert moby.docker("exec", "uses", "ls", "/tool/bin/busybox").stdout == "/tool/bin/busybox\n"
    moby.docker("rm", "-f", "uses")
    moby.docker("rmi", "tool:1")
    folders = [path.name for path in (moby.state / "image_store/overlay").rglob("*.image0")]
    assert folders == []


def test_propagation(moby: TestPlatform) -> None:
    """A mount made on the host after the start arrives with rslave and not with rprivate."""
    place = moby.base / "spread"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "spread", place], check=True)
    try:
        subprocess.run(["mount", "--make-private", place], check=True)
        for mode, word in (("rshared", "shared mount"), ("rslave", "shared or slave mount")):
            said = moby.docker("run", "--rm", "-v", f"{place}:/p:{mode}", BUSYBOX, "true", check=False).stderr
            assert f"path {place} is mounted on {place} but it is not a {word}" in said
        subprocess.run(["mount", "--make-shared", place], check=True)
        (place / "late").mkdir()
        for mode in ("rslave", "rprivate", "rshared"):
            moby.docker(
                "run",
                "-d",
                "--name",
                f"with-{mode}",
                "--privileged",
                "-v",
                f"{place}:/p:{mode}",
                BUSYBOX,
                "sleep",
                "60",
            )
        subprocess.run(["mount", "-t", "tmpfs", "late", place / "late"], check=True)
        (place / "late/arrived").touch()
        seen = {
            m: moby.docker("exec", f"with-{m}", "ls", "/p/late").stdout
            for m in ("rslave", "rprivate", "rshared")
        }
        assert seen == {"rslave": "arrived\n", "rprivate": "", "rshared": "arrived\n"}
        (place / "back").mkdir()
        moby.docker("exec", "with-rshared", "mount", "-t", "tmpfs", "back", "/p/back")
        assert str(place / "back") in mounts_below(place)
        moby.docker("rm", "-f", "with-rslave", "with-rprivate", "with-rshared")
        assert str(place / "late") in mounts_below(place), (
            "the end of a container unmounts nothing of the host's"
        )
    finally:
        for path in reversed(mounts_below(place)):
            subprocess.run(["umount", "-l", path], check=False)


def test_what_is_below_a_read_only_bind(moby: TestPlatform) -> None:
    place = moby.base / "tree"
    (place / "inner").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "inner", place / "inner"], check=True)
    bind = f"type=bind,source={place},target=/p,readonly"
    try:
        script = "touch /p/inner/x && echo written || echo refused"
        assert sh(moby, script, "--mount", bind).startswith("refused\n")
        assert sh(moby, script, "--mount", f"{bind},bind-recursive=writable") == "written\n"
        (place / "inner/x").unlink()
        both = f"{bind},bind-recursive=readonly,bind-propagation=rprivate"
        assert sh(moby, script, "--mount", both).startswith("refused\n")
        flat = f"type=bind,source={place},target=/p,bind-recursive=disabled"
        assert sh(moby, "touch /p/inner/y; ls /p/inner", "--mount", flat) == "y\n"
        assert list((place / "inner").iterdir()) == []
    finally:
        subprocess.run(["umount", place / "inner"], check=True)


def test_the_whole_host_bound_in(moby: TestPlatform) -> None:
    """`-v /:/host` holds nobody's root: another container can go while it runs."""
    moby.docker("run", "-d", "--name", "other", BUSYBOX, "sleep", "60")
    moby.docker("run", "-d", "--name", "watcher", "-v", "/:/host:ro", BUSYBOX, "sleep", "60")
    point = json.loads(moby.docker("inspect", "watcher").stdout)[0]["Mounts"][0]
    assert point["Propagation"] == "rslave"
    moby.docker("rm", "-f", "other")
    assert "other" not in moby.docker("ps", "-a", "--format", "{{.Names}}").stdout
    moby.docker("rm", "-f", "watcher")
    said = moby.docker("run", "--rm", "-v", "/:/host:private", BUSYBOX, "true", check=False).stderr
    assert (
        'must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root'
        in said
    )


def test_populate_only_when_empty(moby: TestPlatform) -> None:
    assert "busybox" in sh(moby, "ls /bin", "-v", "filled:/bin:ro")
    sh(moby, "/v/busybox rm /v/ls; /v/busybox rm /v/cp", "-v", "filled:/v")
    assert "busybox" in sh(moby, "/bin/busybox ls /bin", "-v", "filled:/bin")
    folder = Path(moby.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "filled").stdout.strip())
    assert not (folder / "cp").exists()
    assert sh(moby, "ls /mnt/x", "-v", "bare:/etc:nocopy", "-v", "bare:/mnt/x") == ""
    moby.docker("create", "--name", "first", "-v", "later:/nowhere", BUSYBOX, "true")
    moby.docker("start", "-a", "first")
    assert sh(moby, "ls /etc", "-v", "later:/etc") != "", (
        "the second container fills what the first left empty"
    )
    moby.docker("rm", "first")
    moby.docker("volume", "rm", "filled", "bare", "later")


def test_volumes_with_mounts_of_their_own_after_a_crash(moby: TestPlatform) -> None:
    moby.docker(
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,uid=33,mode=0750",
        "ram",
    )
    host = moby.base / "bound"
    host.mkdir()
    moby.docker("volume", "create", "-o", "type=none", "-o", f"device={host}", "-o", "o=bind", "bound")
    for name in ("one", "two"):
        moby.docker(
            "run",
            "-d",
            "--name",
            name,
            "-v",
            "ram:/ram",
            "-v",
            "bound:/b",
            BUSYBOX,
            "sh",
            "-c",
            f"touch /ram/{name} /b/{name}; exec sleep 60",
        )
    place = moby.state / "volume/local/ram/_data"
    assert place.stat().st_uid == 33
    moby.kill_daemon()
    moby.up()
    assert place.is_mount()
    moby.docker("rm", "-f", "one")
    assert place.is_mount(), "the other one still uses it"
    assert moby.docker("exec", "two", "ls", "/ram").stdout == "one\ntwo\n"
    moby.docker("rm", "-f", "two")
    assert not place.is_mount()
    moby.docker("volume", "rm", "ram", "bound")
    assert sorted(path.name for path in host.iterdir()) == ["one", "two"], "what was bound is not deleted"
    said = moby.docker("volume", "create", "-o", "type=ext4", "-o", "device=/nonono", "bad")
    assert said.stdout == "bad\n"
    said = moby.docker("run", "--rm", "-v", "bad:/x", BUSYBOX, "true", check=False)
    assert f"failed to mount local volume: mount /nonono:{moby.state}/volume/local/bad/_data" in said.stderr
    moby.docker("volume", "rm", "bad")


def test_names_options_and_drivers_in_dockers_words(moby: TestPlatform) -> None:
    words = {
        "x": "create x: volume name is too short, names should be at least two alphanumeric characters",
        "../x": 'create ../x: "../x" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
        "use absolute path",
        "a" * 300: "file name too long",
    }
    for name, said in words.items():
        assert said in moby.docker("volume", "create", name, check=False).stderr
    options = {
        "colour=red": 'create xx: invalid option: "colour"',
        "device=/x": 'create xx: missing required option: "type"',
        "size=1g": "create xx: quota size requested but no quota support",
        "size=abc": "create xx: invalid size: 'abc'",
    }
    for option, said in options.items():
        assert said in moby.docker("volume", "create", "-o", option, "xx", check=False).stderr
    said = moby.docker(
        "run", "--volume-driver", "nope", "-v", "cc:/data", BUSYBOX, "true", check=False
    ).stderr
    assert 'create cc: error looking up volume plugin nope: plugin "nope" not found' in said
    assert moby.docker("volume", "ls", "-q").stdout == ""
    assert "invalid filter 'foo'" in moby.docker("volume", "ls", "-f", "foo=bar", check=False).stderr
    assert (
        "invalid filter 'dangling=[maybe]'"
        in moby.docker("volume", "ls", "-f", "dangling=maybe", check=False).stderr
    )


def test_ls_filters_prune_and_events(moby: TestPlatform) -> None:
    moby.docker("volume", "create", "--label", "app=shop", "shop-data")
    moby.docker("volume", "create", "other")
    moby.docker("create", "--name", "holder", "-v", "other:/o", "-v", "/anon", BUSYBOX, "true")

    def ls(*filters: str) -> list[str]:
        pairs = [word for text in filters for word in ("-f", text)]
        return moby.docker("volume", "ls", "-q", *pairs).stdout.split()

    assert ls("dangling=true") == ["shop-data"]
    assert ls("dangling=false", "name=oth") == ["other"]
    assert ls("label=app=shop") == ls("label=app") == ls("name=^shop") == ["shop-data"]
    assert ls("driver=nfs") == []
    assert moby.docker("volume", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    moby.docker("rm", "holder")
    pruned = moby.docker("volume", "prune", "-f").stdout
    assert pruned.startswith("Deleted Volumes:\n")
    assert ls() == ["other", "shop-data"]
    assert "shop-data" in moby.docker("volume", "prune", "-f", "--all", "--filter", "label=app").stdout
    moby.docker("run", "--rm", "-v", "other:/o", BUSYBOX, "true")
    moby.docker("volume", "rm", "other")
    events = moby.docker(
        "events", "--since", "1", "--until", str(int(time.time()) + 1),
        "--filter", "type=volume", "--filter", "volume=other",
        "--format", "{{.Action}}",
    ).stdout.split()  # fmt: skip
    assert events == ["create", "mount", "unmount", "destroy"]
    soon = str(int(time.time()) + 1)
    said = moby.docker(
        *("events", "--since", "1", "--until", soon, "--filter", "event=prune", "--format", "{{json .}}")
    ).stdout
    assert '"reclaimed":"0"' in said
    inspected = moby.docker("volume", "inspect", "nope", check=False)
    assert (inspected.stdout, inspected.stderr) == (
        "[]\n",
        "Error response from daemon: get nope: no such volume\n",
    )


def test_volumes_from_and_subpath(moby: TestPlatform) -> None:
    sh(moby, "mkdir -p /v/a/b; echo deep > /v/a/b/f; ln -s /etc /v/out; ln -s a /v/in", "-v", "tree:/v")
    mount = "type=volume,source=tree,target=/s,volume-subpath="
    assert sh(moby, "cat /s/f", "--mount", mount + "a/b") == "deep\n"
    assert sh(moby, "cat /s/b/f", "--mount", mount + "in") == "deep\n"
    assert sh(moby, "cat /s", "--mount", mount + "a/b/f") == "deep\n"
    assert "cannot access path out in the volume" in sh(moby, "true", "--mount", mount + "out", check=False)
    assert "cannot access path no in the volume" in sh(moby, "true", "--mount", mount + "no", check=False)
    moby.docker("create", "--name", "donor", "-v", "tree:/v", "-v", f"{moby.base}:/host:ro", BUSYBOX, "true")
    script = "cat /v/a/b/f; echo x > /v/x; ls -d /host"
    assert sh(moby, script, "--volumes-from", "donor:ro", check=False).count("Read-only") == 1
    assert sh(moby, script, "--volumes-from", "donor") == "deep\n/host\n"
    moby.docker("rm", "donor")
    moby.docker("volume", "rm", "tree")


def test_export_import_clone(moby: TestPlatform) -> None:
    sh(
        moby,
        "mkdir -p /v/d; echo text > /v/d/f; ln /v/d/f /v/hard; ln -s /etc/passwd /v/soft; chown 33:44 /v/d/f;"
        "chmod 4751 /v/d/f; mkfifo /v/p; dd if=/dev/zero of=/v/sparse bs=1 count=1 seek=20M 2>/dev/null;"
        "chmod 1777 /v",
        *("-v", "data:/v"),
    )
    listing = "cd /v; find . | sort; stat -c '%n %a %u:%g %h %s %Y' . d d/f hard soft p sparse; cat d/f"
    before = sh(moby, listing, "-v", "data:/v")
    for suffix in ("tar", "tar.gz", "tar.zst"):
        file = moby.base / f"data.{suffix}"
        moby("volume", "export", "-o", str(file), "data")
        assert file.stat().st_size < 100_000
        assert moby("volume", "import", f"copy-{suffix}", str(file)).stdout == f"copy-{suffix}\n"
        assert sh(moby, listing, "-v", f"copy-{suffix}:/v") == before
    assert moby("volume", "clone", "data", "twin").stdout == "twin\n"
    assert sh(moby, listing, "-v", "twin:/v") == before
    moby.docker("run", "-d", "--name", "user", "-v", "data:/v", BUSYBOX, "sleep", "60")
    piped = subprocess.run(
        f"{moby.command('volume', 'export', 'data')[0]} volume export data"
        f" | {moby.command()[0]} volume import piped",
        shell=True, env=moby.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert piped.stdout == "piped\n"
    assert piped.stderr == "note: data is in use by user - what they change meanwhile may be half in it\n"
    assert sh(moby, listing, "-v", "piped:/v") == before
    again = moby("volume", "import", "data", str(moby.base / "data.tar"), check=False)
    assert (
        again.stderr.startswith("moby-py: error: import data: volume is in use - [")
        or "in use" in again.stderr
    )
    moby.docker("rm", "-f", "user")
    again = moby("volume", "import", "data", str(moby.base / "data.tar"), check=False)
    assert "import data: the volume holds data - only an empty one can be filled" in again.stderr
    assert (
        "clone data: volume twin already exists"
        in moby("volume", "clone", "data", "twin", check=False).stderr
    )
    moby.docker("volume", "rm", "data", "twin", "piped", *(f"copy-{s}" for s in ("tar", "tar.gz", "tar.zst")))


def test_imports_are_all_or_nothing(moby: TestPlatform) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in ("fine", "../evil"):
            info = tarfile.TarInfo(name)
            info.size = 3
            made.addfile(info, io.BytesIO(b"abc"))
    said = moby("volume", "import", "hostile", input=out.getvalue(), check=False)
    assert "import hostile: cannot unpack the archive - '../evil' points out of the archive" in said.stderr
    cut = os.urandom(5000)
    assert "not a tar archive" in moby("volume", "import", "hostile", input=cut, check=False).stderr
    assert moby.docker("volume", "ls", "-q").stdout == ""
    local = moby.state / "volume/local"
    assert list(local.iterdir()) == []
    moby.docker("volume", "create", "waiting")
    moby("volume", "import", "waiting", input=cut, check=False)
    assert list((local / "waiting/_data").iterdir()) == []
    assert [path.name for path in local.iterdir()] == ["waiting"]
    moby.docker("volume", "rm", "waiting")
    for word in (("export", "nope"), ("clone", "nope", "xx")):
        assert "get nope: no such volume" in moby("volume", *word, check=False).stderr
