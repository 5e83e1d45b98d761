"""A create body and an image become parts of a ContainerSpec: Docker's rules, Docker's refusals."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moby_components.engine.moby.rendering import etc_files, mounts, network
from moby_components.engine.moby.rendering.capabilities import DEFAULT, capability_set, everything
from moby_components.engine.moby.rendering.check import check, check_features
from moby_components.engine.moby.rendering.logconfig import LogPlan, log_plan, parse_size
from moby_components.engine.moby.rendering.merge import merge
from moby_components.engine.moby.rendering.process import command, environment, exec_process, process
from moby_components.engine.moby.rendering.resources import check_cpus, resources
from moby_components.engine.moby.rendering.security import MASKED, security
from moby_components.engine.moby.signals import parse_signal
from moby_py.errors import InvalidArgument, MobyError, Unsupported

ID = "0123456789ab" + "c" * 52
IMAGE = {
    "config": {
        "Cmd": ["serve"],
        "Entrypoint": ["/entry"],
        "Env": ["A=image", "B=image"],
        "User": "web",
        "Labels": {"a": "image", "b": "image"},
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
    }
}


@pytest.mark.parametrize(
    ("body", "args"),
    [
        ({}, ("/entry", "serve")),
        ({"Cmd": ["other"]}, ("/entry", "other")),
        ({"Entrypoint": ["/mine"]}, ("/mine",)),
        ({"Entrypoint": ["/mine"], "Cmd": ["x"]}, ("/mine", "x")),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": [], "Cmd": ["x"]}, ("x",)),
        ({"Cmd": "one word"}, ("/entry", "one word")),
    ],
)
def test_entrypoint_and_command(body: dict[str, Any], args: tuple[str, ...]) -> None:
    assert command(merge(body, IMAGE)) == args


def test_no_command_at_all() -> None:
    with pytest.raises(InvalidArgument, match=r"^no command specified$"):
        merge({}, {"config": {}})


def test_the_image_gives_defaults_and_no_more() -> None:
    merged = merge({"Env": ["B=mine"], "Labels": {"b": "mine"}, "User": "0", "Volumes": {"/own": {}}}, IMAGE)
    assert merged["Env"] == ["B=mine", "A=image"]
    assert merged["Labels"] == {"a": "image", "b": "mine"}
    assert (merged["User"], merged["WorkingDir"], merged["StopSignal"]) == ("0", "/srv", "SIGINT")
    assert merged["Volumes"] == {"/data": {}, "/own": {}}


def test_environment() -> None:
    env = environment({"Env": ["A=1", "PATH=/x", "TERM", "A=2"]}, hostname="h", tty=True)
    assert env == ("PATH=/x", "HOSTNAME=h", "A=2")
    with pytest.raises(InvalidArgument, match=r"^invalid environment variable: =x$"):
        environment({"Env": ["=x"]}, hostname="h", tty=False)


def test_capabilities() -> None:
    assert set(capability_set({})) == set(DEFAULT) & set(everything())
    assert capability_set({"CapDrop": ["ALL"], "CapAdd": ["chown", "CAP_KILL"]}) == ("CAP_CHOWN", "CAP_KILL")
    assert set(capability_set({"CapAdd": ["ALL"], "CapDrop": ["CHOWN"]})) == set(everything()) - {"CAP_CHOWN"}
    assert capability_set({"Privileged": True}) == everything()
    with pytest.raises(InvalidArgument, match=r'^unknown capability: "CAP_FLY"$'):
        capability_set({"CapAdd": ["FLY"]})


def test_security_options() -> None:
    assert security({}).masked == MASKED
    assert security({"Privileged": True}).seccomp == "unconfined"
    assert security({"Privileged": True}).masked == ()
    found = security(
        {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined", "systempaths=unconfined"]}
    )
    assert (found.no_new_privileges, found.seccomp, found.masked, found.readonly) == (
        True,
        "unconfined",
        (),
        (),
    )
    assert security({"SecurityOpt": ["label=type:spc_t"]}).label == "system_u:system_r:spc_t:s0"
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})
    assert security({"SecurityOpt": [f"seccomp={profile}"]}).seccomp == profile
    for wrong, text in (
        ("nonsense", 'invalid --security-opt 1: "nonsense"'),
        ("a=b", 'invalid --security-opt 2: "a=b"'),
        ("seccomp={}", "invalid seccomp profile - it names no defaultAction"),
    ):
        with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
            security({"SecurityOpt": [wrong]})


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({"Memory": 1000}, "Minimum memory limit allowed is 6MB"),
        (
            {"Memory": 8 << 20, "MemorySwap": 7 << 20},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"MemorySwap": 7 << 20},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            {"NanoCpus": 10**9, "CpuQuota": 5000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"CpuPeriod": 10},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"DeviceCgroupRules": ["x"]}, "invalid device cgroup rule format: 'x'"),
        ({"Memory": "1g"}, "invalid Memory - it must be a whole number"),
    ],
)
def test_wrong_limits(host: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        resources(host)


def test_more_cpus_than_there_are_are_refused_at_create_only() -> None:
    count = os.cpu_count() or 1
    check_cpus(resources({"NanoCpus": count * 10**9}))
    more = resources({"NanoCpus": count * 10**9 + 1})  # what a start does: as much as there is
    text = f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        check_cpus(more)


def test_limits() -> None:
    found = resources(
        {
            "Memory": 64 << 20,
            "PidsLimit": -1,
            "NanoCpus": 5 * 10**8,
            "MemorySwappiness": 0,
            "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}],
        }
    )
    assert (found.memory, found.pids_limit, found.nano_cpus, found.memory_swappiness) == (
        64 << 20,
        0,
        5 * 10**8,
        0,
    )
    assert [(d.path, d.rate) for d in found.read_bps] == [("/dev/vda", 1)]


def plans(**host: Any) -> dict[str, mounts.MountPlan]:
    volumes = host.pop("Volumes", {})
    return {p.target: p for p in mounts.plan({"HostConfig": host, "Volumes": volumes}, lambda _: ())}


def test_mount_forms() -> None:
    found = plans(
        Binds=["/src:/b:ro,rshared", "vol:/v:nocopy", "/anon"],
        Tmpfs={"/t": "size=1m,exec"},
        Mounts=[
            {"Type": "bind", "Source": "/x", "Target": "/m", "ReadOnly": True},
            {"Type": "volume", "Target": "/w", "VolumeOptions": {"NoCopy": True, "Labels": {"k": "v"}}},
            {"Type": "secret", "Source": "db"},
            {"Type": "tmpfs", "Target": "/u", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}},
        ],
        Volumes={"/v": {}, "/image": {}},
    )
    assert (found["/b"].type, found["/b"].readonly, found["/b"].propagation) == ("bind", True, "rshared")
    assert (found["/v"].source, found["/v"].copy) == ("vol", False)
    assert (found["/anon"].type, found["/anon"].source) == ("volume", "")
    assert found["/t"].options == ("nosuid", "nodev", "size=1m", "exec")
    assert (found["/m"].readonly, found["/m"].create_source) == (True, False)
    assert (found["/w"].copy, found["/w"].labels) == (False, (("k", "v"),))
    assert (found["/run/secrets/db"].type, found["/run/secrets/db"].readonly) == ("secret", True)
    assert found["/u"].options == ("nosuid", "nodev", "noexec", "size=4096", "mode=700")
    assert found["/image"].type == "volume"
    depths = [target.count("/") for target in found]
    assert depths == sorted(depths)


def test_plans_survive_json() -> None:
    for plan in plans(
        Binds=["/a:/b"],
        Mounts=[
            {
                "Type": "volume",
                "Target": "/w",
                "VolumeOptions": {"Labels": {"k": "v"}, "DriverConfig": {"Options": {"type": "tmpfs"}}},
            }
        ],
    ).values():
        assert mounts.MountPlan.load(json.loads(json.dumps(asdict(plan)))) == plan


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({"Binds": ["a:b:c:d"]}, "invalid volume specification: 'a:b:c:d'"),
        (
            {"Binds": ["/a:b"]},
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
            "invalid mount path: 'b' mount path must be absolute",
        ),
        ({"Binds": ["/a:/b:wo"]}, "invalid mode: wo"),
        (
            {"Binds": ["/a:/"]},
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        ({"Binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
        ({"Binds": ["/foo:rw"]}, "invalid volume specification: '/foo:rw'"),
        ({"Binds": [":/foo"]}, "invalid volume specification: ':/foo'"),
        ({"Binds": ["/a:/b:rshared,rslave"]}, "invalid mode: rshared,rslave"),
        ({"Binds": ["/a:/b:z,Z"]}, "invalid mode: z,Z"),
        (
            {"Binds": ["aa:/data:rshared"]},
            "invalid volume specification: 'aa:/data:rshared': "
            'invalid mount config for type "volume": field BindOptions must not be specified',
        ),
        (
            {"Binds": ["/tmp:/data:nocopy"]},
            "invalid volume specification: '/tmp:/data:nocopy': "
            'invalid mount config for type "bind": field VolumeOptions must not be specified',
        ),
        (
            {"Mounts": [{"Type": "volume", "Target": "/data", "ReadOnly": True}]},
            'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes',
        ),
        (
            {"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/data"}]},
            'invalid mount config for type "tmpfs": field Source must not be specified',
        ),
        (
            {"Mounts": [{"Type": "tmpfs", "Target": "/data", "TmpfsOptions": {"SizeBytes": "1m"}}]},
            'invalid mount config for type "tmpfs": field SizeBytes must be a whole number',
        ),
        (
            {"Mounts": [{"Type": "tmpfs", "Target": "/data", "TmpfsOptions": {"Options": [["uid", "3"]]}}]},
            'invalid mount config for type "tmpfs": invalid option: uid',
        ),
        (
            {"Mounts": [{"Type": "volume", "Source": "aa", "Target": "/"}]},
            "invalid mount config for type \"volume\": invalid specification: destination can't be '/'",
        ),
        (
            {
                "Mounts": [
                    {"Type": "bind", "Source": "/x", "Target": "/y", "BindOptions": {"Propagation": "p"}}
                ]
            },
            'invalid mount config for type "bind": invalid propagation mode: p',
        ),
        (
            {"Mounts": [{"Type": "bind", "Source": "/x", "Target": "/y", "BindOptions": ["p"]}]},
            'invalid mount config for type "bind": field BindOptions must be an object',
        ),
        (
            {"Mounts": [{"Type": "bind", "Source": 7, "Target": "/y"}]},
            "invalid mount config - field Source must be text",
        ),
        (
            {
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": "/x",
                        "Target": "/y",
                        "BindOptions": {"ReadOnlyForceRecursive": True},
                    }
                ]
            },
            'invalid mount config for type "bind": '
            "mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive",
        ),
        (
            {"Mounts": [{"Type": "image", "Target": "/y"}]},
            'invalid mount config for type "image": field Source must not be empty',
        ),
        ({"VolumesFrom": ["x:rshared"]}, "invalid mode: rshared"),
        ({"Tmpfs": {"t": ""}}, "invalid mount path: 't' mount path must be absolute"),
        (
            {"Mounts": [{"Type": "bind", "Source": "x", "Target": "/y"}]},
            "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be absolute",
        ),
        (
            {"Mounts": [{"Type": "npipe", "Target": "/y"}]},
            'invalid mount config for type "npipe": mount type unknown',
        ),
        (
            {"Mounts": [{"Type": "volume"}]},
            'invalid mount config for type "volume": field Target must not be empty',
        ),
        (
            {
                "Mounts": [
                    {"Type": "volume", "Source": "v", "Target": "/x", "VolumeOptions": {"Subpath": "../y"}}
                ]
            },
            'invalid mount config for type "volume": subpath must be a relative path within the volume',
        ),
        (
            {"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "y"}}]},
            'invalid mount config for type "volume": must not set Subpath when using anonymous volumes',
        ),
        ({"Tmpfs": {"/t": "evil=1"}}, 'invalid tmpfs option ["evil=1"]'),
    ],
)
def test_wrong_mounts(host: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        plans(**host)


def test_networking() -> None:
    body = {
        "HostConfig": {
            "NetworkMode": "web",
            "PortBindings": {"80-81/tcp": [{"HostPort": "8080"}], "53/udp": None},
            "PublishAllPorts": True,
        },
        "ExposedPorts": {"80/tcp": {}, "9/tcp": {}},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "web": {"Aliases": ["www"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}},
                "back": {},
            }
        },
    }
    found = network.networking(body, id=ID, default="none")
    assert [e.network for e in found.endpoints] == ["web", "back"]
    assert (found.endpoints[0].aliases, found.endpoints[0].ipv4) == (("www", ID[:12]), "10.0.0.9")
    assert [(p.container_port, p.protocol, p.host_port) for p in found.ports] == [
        (80, "tcp", 8080),
        (81, "tcp", 8080),
        (53, "udp", 0),
        (9, "tcp", 0),
    ]
    assert network.networking({}, id=ID, default="none").endpoints[0].network == "none"
    assert (
        network.networking({"HostConfig": {"NetworkMode": "container:x"}}, id=ID, default="none").join == "x"
    )


def test_hosts_and_resolv_conf() -> None:
    extra = etc_files.extra_hosts({"ExtraHosts": ["db:10.0.0.2", "v6:[::1]", "me:host-gateway"]})
    text = etc_files.hosts_file(
        extra, addresses=["10.0.0.5"], hostname="h", domainname="d", gateway="10.0.0.1"
    )
    assert text.startswith("127.0.0.1\tlocalhost\n")
    assert text.endswith("10.0.0.2\tdb\n::1\tv6\n10.0.0.1\tme\n10.0.0.5\th.d h\n")
    host = "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch lan\noptions edns0\n# nameserver 1.1.1.1\n"
    assert etc_files.resolv_conf({}, servers=[], of_host=host, own_loopback=True) == (
        "nameserver 9.9.9.9\nsearch lan\noptions edns0\n"
    )
    own = {"Dns": ["8.8.8.8"], "DnsSearch": ["."], "DnsOptions": ["ndots:2"]}
    assert etc_files.resolv_conf(own, servers=["1.2.3.4"], of_host=host, own_loopback=False) == (
        "nameserver 8.8.8.8\noptions ndots:2\n"
    )
    with pytest.raises(InvalidArgument, match=r'^invalid IP address in add-host: "x"$'):
        etc_files.extra_hosts({"ExtraHosts": ["a:x"]})


def test_log_config() -> None:
    def given_(kind: str, **config: str) -> LogPlan:
        return log_plan({"LogConfig": {"Type": kind, "Config": config}})

    assert log_plan({}) == LogPlan()
    assert given_("json-file", **{"max-size": "10m", "max-file": "3"}) == LogPlan(True, 10 << 20, 3)
    assert given_("local") == LogPlan(True, 20 << 20, 5, True, "local")
    assert given_("none") == LogPlan(keep=False, driver="none")
    assert log_plan({}, driver="local", options={"max-size": "1k"}) == LogPlan(True, 1024, 5, True, "local")
    with pytest.raises(InvalidArgument, match=r"^logger: no log driver named 'syslog' is registered$"):
        given_("syslog")
    with pytest.raises(InvalidArgument, match=r"^unknown log opt 'x' for json-file log driver$"):
        given_("json-file", x="1")
    with pytest.raises(InvalidArgument, match=r"^max-file cannot be less than 1$"):
        given_("json-file", **{"max-file": "0"})
    assert parse_size("1.5k") == 1536


def test_signals() -> None:
    assert [parse_signal(word) for word in ("KILL", "sigterm", "15", "SIGRTMIN+3", "RTMAX-1")] == [
        9,
        15,
        15,
        37,
        63,
    ]
    for wrong in ("", "0", "65", "NOPE", "_DFL", "RTMIN+99"):
        with pytest.raises(InvalidArgument, match=f"^invalid signal: {re.escape(wrong)}$"):
            parse_signal(wrong)


def test_an_exec_is_like_the_container_but_for_what_it_says() -> None:
    body = merge({"Env": ["A=1"], "User": "web", "WorkingDir": "/w", "Cmd": ["x"]}, {})
    main = process(body, security({}), hostname="h", ours=0)
    same = exec_process({"Cmd": ["y"]}, main)
    assert (same.env, same.user, same.cwd, same.capabilities) == (main.env, "web", "/w", main.capabilities)
    other = exec_process({"Cmd": ["y"], "Env": ["A=2"], "User": "0", "Privileged": True, "Tty": True}, main)
    assert "A=2" in other.env
    assert "TERM=xterm" in other.env
    assert (other.user, other.capabilities) == ("0", everything())
    with pytest.raises(InvalidArgument, match=r"^No exec command specified$"):
        exec_process({}, main)


def test_what_a_runtime_lacks_is_named() -> None:
    body = merge({"Cmd": ["x"], "Tty": True}, {})
    with pytest.raises(
        Unsupported, match=r"^runtime 'tiny' does not support a terminal - it lacks the feature 'tty'$"
    ):
        check_features(body, "tiny", frozenset())
    limited = merge({"Cmd": ["x"], "HostConfig": {"Memory": 64 << 20}}, {})
    with pytest.raises(
        Unsupported, match=r"^runtime 'tiny' does not support limits - it lacks the feature 'cgroups'$"
    ):
        check_features(limited, "tiny", frozenset({"tty"}))
    check_features(limited, "big", frozenset({"cgroups"}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 40) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HOST_KEYS = (
    "Binds",
    "Mounts",
    "Tmpfs",
    "CapAdd",
    "Memory",
    "RestartPolicy",
    "PortBindings",
    "NetworkMode",
    "LogConfig",
    "SecurityOpt",
    "Ulimits",
    "ExtraHosts",
    "PidMode",
    "ShmSize",
    "Devices",
    "Sysctls",
    "VolumesFrom",
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(HOST_KEYS), json_values, max_size=4),
    st.dictionaries(
        st.sampled_from(("Env", "Cmd", "User", "Hostname", "Volumes", "ExposedPorts", "StopSignal")),
        json_values,
        max_size=3,
    ),
)
def test_no_body_is_our_bug(host: dict[str, Any], body: dict[str, Any]) -> None:
    """Whatever a client sends: it is taken, or refused as the client's mistake."""
    try:
        merged = merge({"Cmd": ["true"], **body, "HostConfig": host}, IMAGE)
        check(merged, ID, default_network="none")
    except MobyError as error:
        assert error.http_status in (400, 404)


@pytest.mark.parametrize("mode", ["host", "none"])
def test_ports_that_go_nowhere_are_told(mode: str) -> None:
    """Also where none is only the platform's default, and nobody wrote it."""
    body = {"Image": "x", "Cmd": ["true"], "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}
    told = (f"Published ports are discarded when using {mode} network mode",)
    assert check(body, "0" * 64, default_network=mode) == told
    body["HostConfig"] |= {"NetworkMode": mode}
    assert check(body, "0" * 64, default_network="bridge") == told
