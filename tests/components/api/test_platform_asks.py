"""What `run` and `create` make of their options, and what the tables look like beside docker's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from moby_py.errors import NotFound
from support.api_words import Words


def test_what_run_asks_for(words: Words, tmp_path: Path) -> None:
    profile = tmp_path / "seccomp.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    words.ok(
        *(
            "create",
            "--name",
            "all",
            "-h",
            "box",
            "-u",
            "1:2",
            "-w",
            "/w",
            "-v",
            f"{tmp_path}:/d:ro",
            "-v",
            "/anon",
        ),
        *("--mount", "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave", "--tmpfs", "/t:size=1m"),
        *("--secret", "db", "--secret", "k:/etc/key", "-p", "127.0.0.1:8080:80", "-p", "53/udp", "-m", "64m"),
        *(
            "--cpus",
            "1.5",
            "--pids-limit",
            "50",
            "--read-only",
            "--restart",
            "on-failure:3",
            "--runtime",
            "x",
        ),
        *("--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--security-opt", f"seccomp={profile}", "-l", "a=b"),
        *("--security-opt", "no-new-privileges", "--init", "--stop-signal", "INT", "--stop-timeout", "3"),
        *(
            "--ulimit",
            "nofile=10:20",
            "--device",
            "/dev/null:/dev/x:r",
            "--shm-size",
            "1m",
            "--log-opt",
            "k=v",
        ),
        *(
            "--add-host",
            "h:1.2.3.4",
            "--dns",
            "9.9.9.9",
            "--network",
            "none",
            "--entrypoint",
            "/e",
            "--sysctl",
            "a=1",
        ),
        *("--health-cmd", "true", "--health-interval", "1m30s", "busybox:1", "c", "-x"),
    )
    body = words.host.engine.box("all").container.intent
    host = body["HostConfig"]
    assert {k: v for k, v in body.items() if k != "HostConfig"} == {
        "Image": "busybox:1",
        "Hostname": "box",
        "User": "1:2",
        "WorkingDir": "/w",
        "Cmd": ["c", "-x"],
        "Entrypoint": ["/e"],
        "Volumes": {"/anon": {}},
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "StopSignal": "INT",
        "StopTimeout": 3,
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000},
    }
    assert host == {
        "Binds": [f"{tmp_path}:/d:ro"],
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/b",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rslave"},
            },
            {"Type": "secret", "Source": "db", "Target": "/run/secrets/db", "ReadOnly": True},
            {"Type": "secret", "Source": "k", "Target": "/etc/key", "ReadOnly": True},
        ],
        "Tmpfs": {"/t": "size=1m"},
        "NetworkMode": "none",
        "PortBindings": {
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "", "HostPort": ""}],
        },
        "ExtraHosts": ["h:1.2.3.4"],
        "Dns": ["9.9.9.9"],
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', "no-new-privileges"],
        "ReadonlyRootfs": True,
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}],
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        "Sysctls": {"a": "1"},
        "Runtime": "x",
        "Memory": 64 << 20,
        "ShmSize": 1 << 20,
        "NanoCpus": 1_500_000_000,
        "PidsLimit": 50,
        "Init": True,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "LogConfig": {"Type": "", "Config": {"k": "v"}},
    }
    words.ok("rm", "all")


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line")
@pytest.mark.parametrize(
    "args",
    [
        *(["ps", "-a"], ["ps", "-a", "--no-trunc"], ["ps", "-aq"], ["ps", "-a", "--size"]),
        *(["ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Ports}}"],),
        *(["ps", "-a", "--format", "table {{.Names}}\t{{.Image}}"], ["images"], ["images", "--no-trunc"]),
        *(
            ["images", "-q"],
            ["images", "--digests"],
            ["history", "busybox:1"],
            ["volume", "ls"],
            ["volume", "ls", "-q"],
        ),
        *(
            ["network", "ls"],
            ["network", "ls", "--no-trunc"],
            ["secret", "ls"],
            ["diff", "same"],
            ["port", "same"],
        ),
        *(["inspect", "-f", "{{.Name}} {{json .Config.Cmd}} {{len .Config.Cmd}}", "same"],),
        *(
            [
                "inspect",
                "-f",
                "{{range .Config.Cmd}}<{{.}}>{{end}}{{if .State.Running}}up{{else}}no{{end}}",
                "same",
            ],
        ),
        *(
            [
                "inspect",
                "-f",
                '{{index .Config.Labels "a.b"}} {{join .Config.Cmd ","}} {{.Config.Labels}}',
                "same",
            ],
        ),
    ],
    ids=" ".join,
)
def test_tables_are_docker_s(words: Words, args: list[str]) -> None:
    try:
        words.host.engine.box("same")
    except NotFound:
        words.ok(
            "create", "--name", "same", "-l", "a.b=c", "-p", "80", "busybox:1", "echo", "a long text, it is"
        )
        words.ok("volume", "create", "vol")
        words.ok("secret", "create", "sec", "-", input=b"x")
    ours, theirs = words.ok(*args), words.host.docker(*args).stdout.decode()
    assert ageless(ours) == ageless(theirs)


def ageless(text: str) -> str:
    """Ages tick between the two commands, and columns are as wide as their ages."""
    told = re.sub(r"(Less than a second|\d+ seconds?|About a minute|\d+ minutes) ago", "AGE", text)
    return re.sub(r" {2,}", "  ", told)
