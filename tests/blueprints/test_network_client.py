"""`docker network` and the networking options of `docker run` through the stock client and docker-py, on a
platform with real bridges in a host of its own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator

import pytest

from support.lab import Lab, lab
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
SETS = ("components.runtime=[crun]", "components.network=bridge")
SLEEP = ("tools", "sleep", "600")
FULL = (
    "--driver", "bridge", "--subnet", "10.80.0.0/24", "--subnet", "fd00:80::/64",
    "--gateway", "10.80.0.254", "--ip-range", "10.80.0.128/25", "--aux-address", "router=10.80.0.130",
    "--opt", "com.docker.network.driver.mtu=1400", "--attachable", "--ipv6", "--label", "team=a",
    "--ipam-driver", "default",
)  # fmt: skip


@pytest.fixture(scope="module")
def at() -> Iterator[tuple[TestPlatform, Lab]]:
    with lab() as here:
        with platform("quickstart.yaml", sets=SETS, user=here.prefix) as moby:
            moby("image", "from-host", "-t", "tools", "sh", "sleep", "ip", "busybox")
            yield moby, here
        assert here.leftovers() == []


@pytest.fixture
def moby(at: tuple[TestPlatform, Lab]) -> Iterator[TestPlatform]:
    """Empty before and after."""
    found = at[0]
    yield found
    ids = found.docker("ps", "-aq").stdout.split()
    if ids:
        found.docker("rm", "-f", *ids)
    found.docker("network", "prune", "-f")
    assert found.docker("network", "ls", "--format", "{{.Name}}").stdout.split() == ["bridge", "host", "none"]


def says(moby: TestPlatform, *args: str, status: int = 1) -> str:
    """The error of a docker command without "Error response from daemon: " and hints."""
    done = moby.docker(*args, check=False)
    assert (done.returncode, done.stdout[65:]) == (status, ""), done
    text = done.stderr.removeprefix("docker: ").removeprefix("Error response from daemon: ")
    return text.partition("\n")[0]


def inspect(moby: TestPlatform, template: str, *names: str) -> str:
    return moby.docker("inspect", "-f", template, *names).stdout.rstrip("\n")


def settings(moby: TestPlatform, name: str) -> dict:
    return json.loads(inspect(moby, "{{json .NetworkSettings}}", name))


def test_create_with_every_flag_list_and_inspect(moby: TestPlatform) -> None:
    id = moby.docker("network", "create", *FULL, "full").stdout.strip()
    moby.docker("network", "create", "--internal", "closed")
    [found] = json.loads(moby.docker("network", "inspect", "full").stdout)
    assert len(id) == 64 and found.pop("Created").endswith("Z")
    assert found == {
        "Name": "full", "Id": id, "Scope": "local", "Driver": "bridge",
        "EnableIPv4": True, "EnableIPv6": True,
        "IPAM": {
            "Driver": "default", "Options": None,
            "Config": [
                {
                    "Subnet": "10.80.0.0/24", "IPRange": "10.80.0.128/25", "Gateway": "10.80.0.254",
                    "AuxiliaryAddresses": {"router": "10.80.0.130"},
                },
                {"Subnet": "fd00:80::/64", "Gateway": "fd00:80::1"},
            ],
        },
        "Internal": False, "Attachable": True, "Ingress": False, "ConfigFrom": {"Network": ""},
        "ConfigOnly": False, "Containers": {}, "Options": {"com.docker.network.driver.mtu": "1400"},
        "Labels": {"team": "a"},
    }  # fmt: skip

    def listed(*words: str, form: str = "{{.Name}}") -> list[str]:
        return moby.docker("network", "ls", *words, "--format", form).stdout.splitlines()

    assert listed() == ["bridge", "closed", "full", "host", "none"]
    assert listed("--filter", "driver=bridge", "--filter", "type=custom") == ["closed", "full"]
    assert listed("--filter", "label=team=a") == listed("--filter", "label=team") == ["full"]
    assert listed("--filter", "dangling=true") == ["closed", "full"]
    assert listed("--filter", f"id={id[:10]}", "--no-trunc", form="{{.ID}}") == [id]
    assert listed("--filter", "type=builtin") == ["bridge", "host", "none"]
    assert listed("--filter", "scope=swarm") == []
    form = "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}}"
    assert listed("--filter", "name=ful", form=form) == ["full bridge local true true false team=a"]
    assert listed("--filter", "name=closed", form=form) == ["closed bridge local true false true "]
    assert moby.docker("network", "ls", "-q").stdout.split() == [
        moby.docker("network", "inspect", "-f", "{{.Id}}", name).stdout.strip()[:12] for name in listed()
    ]
    assert says(moby, "network", "ls", "--filter", "bad=x") == "invalid filter 'bad'"


def test_what_create_and_rm_refuse(moby: TestPlatform) -> None:
    moby.docker("network", "create", "--subnet", "10.80.0.0/24", "full")
    overlap = "invalid pool request: Pool overlaps with other one on this address space"
    for words, text in (
        (("full",), "network with name full already exists"),
        (("bridge",), "operation is not permitted on predefined bridge network"),
        (("--subnet", "10.80.0.0/25", "x"), overlap),
        (("-d", "nope", "x"), 'error looking up plugin nope: plugin "nope" not found'),
        (("-d", "host", "x"), 'only one instance of "host" network is allowed'),
        (
            ("--ipv4=false", "--ipv6", "x"),
            "cannot create network x - networks without IPv4 are not supported",
        ),
        (("--ipam-driver", "nope", "x"), 'error looking up plugin nope: plugin "nope" not found'),
        (("--subnet", "10.81.0.1/24", "x"), "invalid subnet 10.81.0.1/24: it should be 10.81.0.0/24"),
        (
            ("-o", "com.docker.network.driver.mtu=no", "x"),
            "com.docker.network.driver.mtu is 'no' - it takes a number of bytes from 68 to 65535",
        ),
    ):
        assert says(moby, "network", "create", *words) == text
    assert says(moby, "network", "rm", "nope") == "network nope not found"
    assert moby.docker("network", "rm", "-f", "nope").returncode == 0
    text = "none is a pre-defined network and cannot be removed"
    assert says(moby, "network", "rm", "none") == text
    moby.docker("run", "-d", "--name", "web", "--network", "full", *SLEEP)
    id = inspect(moby, "{{.Id}}", "web")
    assert says(moby, "network", "rm", "full") == (
        f'error while removing network: network full has active endpoints (name:"web" id:"{id[:12]}")'
    )


def test_run_on_networks_with_all_their_settings(moby: TestPlatform) -> None:
    moby.docker("network", "create", *FULL, "full")
    moby.docker("network", "create", "--internal", "--subnet", "10.83.0.0/24", "closed")
    long = (
        "name=full,alias=db,ip=10.80.0.140,ip6=fd00:80::9,mac-address=02:42:00:00:00:09,"
        "driver-opt=com.docker.network.endpoint.ifname=data0,gw-priority=2"
    )
    moby.docker("run", "-d", "--name", "web", "--network", long, "--network", "closed", *SLEEP)
    found = settings(moby, "web")
    assert set(found["Networks"]) == {"full", "closed"}
    full = found["Networks"]["full"]
    assert full["IPAMConfig"] == {"IPv4Address": "10.80.0.140", "IPv6Address": "fd00:80::9"}
    assert (full["Aliases"], full["GwPriority"], full["MacAddress"]) == (["db"], 2, "02:42:00:00:00:09")
    assert full["DNSNames"][:2] == ["web", "db"]
    assert (full["IPAddress"], full["IPPrefixLen"], full["Gateway"]) == ("10.80.0.140", 24, "10.80.0.254")
    assert (full["GlobalIPv6Address"], full["IPv6Gateway"]) == ("fd00:80::9", "fd00:80::1")
    assert found["Networks"]["closed"]["Gateway"] == ""
    lines = moby.docker("exec", "web", "ip", "-br", "address").stdout.splitlines()
    shown = {line.split()[0].partition("@")[0]: line.split()[2:] for line in lines}
    assert shown["data0"][:2] == ["10.80.0.140/24", "fd00:80::9/64"]
    assert shown["eth0"] == ["10.83.0.2/24"]
    link = moby.docker("exec", "web", "ip", "link", "show", "data0").stdout
    assert "mtu 1400" in link and "02:42:00:00:00:09" in link
    assert moby.docker("exec", "web", "ip", "route").stdout.startswith("default via 10.80.0.254 dev data0")
    [network] = json.loads(moby.docker("network", "inspect", "full").stdout)
    assert network["Containers"] == {
        inspect(moby, "{{.Id}}", "web"): {
            "Name": "web", "EndpointID": full["EndpointID"], "MacAddress": "02:42:00:00:00:09",
            "IPv4Address": "10.80.0.140/24", "IPv6Address": "fd00:80::9/64",
        }
    }  # fmt: skip
    assert moby.docker("ps", "--format", "{{.Names}} {{.Networks}}").stdout == "web closed,full\n" or (
        moby.docker("ps", "--format", "{{.Names}} {{.Networks}}").stdout == "web full,closed\n"
    )
    assert moby.docker("ps", "-q", "--filter", "network=full").stdout.split() == [
        inspect(moby, "{{.Id}}", "web")[:12]
    ]
    # Who asks for nothing gets addresses of the range, and never the router's.
    for number in range(3):
        moby.docker("run", "-d", "--name", f"c{number}", "--network", "full", *SLEEP)
    got = [settings(moby, f"c{n}")["Networks"]["full"]["IPAddress"] for n in range(3)]
    assert got == ["10.80.0.128", "10.80.0.129", "10.80.0.131"]
    template = "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}};{{end}}"
    assert inspect(moby, template, "c0") == "full=10.80.0.128;"


def test_what_run_refuses(moby: TestPlatform) -> None:
    moby.docker("network", "create", "--subnet", "10.80.0.0/24", "full")
    outside = "invalid endpoint settings: no configured subnet contains IP address 10.99.0.1"
    builtin = "user specified IP address is supported on user defined networks only"
    for words, text in (
        (("--network", "full", "--ip", "10.99.0.1"), outside),
        (("--network", "full", "--ip", "10.80.0.1"), "Address already in use"),
        (("--network", "bridge", "--ip", "10.80.0.9"), builtin),
        (("--network", "nope"), "network nope not found"),
        (("--network", "container:nope"), "No such container: nope"),
        (("--network", "full", "-p", "9-8:80"), "invalid hostPort: 9-8"),
    ):
        done = moby.docker("run", "--rm", *words, "tools", "sh", "-c", "true", check=False)
        assert done.returncode == 125
        assert text in done.stderr
    assert moby.docker("ps", "-aq").stdout == ""


def test_ports_singly_in_ranges_and_any(moby: TestPlatform, at: tuple[TestPlatform, Lab]) -> None:
    moby.docker(
        "run", "-d", "--name", "one", "-p", "8000-8002:80-82", "-p", "9000-9001:90",
        "-p", "127.0.0.1:53:53/udp", "-p", "95", *SLEEP,
    )  # fmt: skip
    any_ = moby.docker("port", "one", "95").stdout.splitlines()[0].rpartition(":")[2]
    assert moby.docker("port", "one").stdout.splitlines() == [
        "53/udp -> 127.0.0.1:53",
        *(f"{p}/tcp -> {host}:{p + 7920}" for p in (80, 81, 82) for host in ("0.0.0.0", "[::]")),
        *(f"90/tcp -> {host}:9000" for host in ("0.0.0.0", "[::]")),
        *(f"95/tcp -> {host}:{any_}" for host in ("0.0.0.0", "[::]")),
    ]
    ports = moby.docker("ps", "--format", "{{.Ports}}").stdout
    assert "0.0.0.0:9000->90/tcp, [::]:9000->90/tcp" in ports
    assert "127.0.0.1:53->53/udp" in ports
    moby.docker("run", "-d", "--name", "two", "-p", "9000-9001:90", *SLEEP)
    assert moby.docker("port", "two", "90").stdout.splitlines() == ["0.0.0.0:9001", "[::]:9001"]
    done = moby.docker("run", "-d", "--name", "three", "-p", "9000-9001:90", *SLEEP, check=False)
    assert done.returncode == 125
    assert "Bind for 0.0.0.0:9000-9001 failed: all ports are allocated" in done.stderr
    moby.docker("stop", "-t", "0", "one")
    moby.docker("start", "three")
    assert moby.docker("port", "three", "90").stdout.splitlines()[0] == "0.0.0.0:9000"
    # A port of the range that a program of the host has is passed over.
    import socket

    here = at[1]
    holder = here.inside(lambda: socket.create_server(("0.0.0.0", 9100)))
    with holder:
        moby.docker("run", "-d", "--name", "four", "-p", "9100-9105:90", *SLEEP)
        assert moby.docker("port", "four", "90").stdout.splitlines()[0] == "0.0.0.0:9101"
    assert json.loads(inspect(moby, "{{json .HostConfig.PortBindings}}", "four")) == {
        "90/tcp": [{"HostIp": "", "HostPort": "9100-9105"}]
    }


def test_connect_disconnect_and_the_traffic_of_a_port_meanwhile(
    moby: TestPlatform, at: tuple[TestPlatform, Lab]
) -> None:
    here = at[1]
    moby.docker("network", "create", *FULL, "full")
    moby.docker("network", "create", "back")
    serve = "mkdir -p /w; echo it is me > /w/index.html; exec busybox httpd -f -p 80 -h /w"
    moby.docker("run", "-d", "--name", "two", "-p", "8080:80", "tools", "sh", "-c", serve)

    def answers() -> bytes:
        for _ in range(20):
            try:
                return here.get("192.0.2.1", 8080, at="remote", timeout=2)
            except OSError:
                continue
        return b""

    assert answers() == b"it is me\n"
    moby.docker(
        "network", "connect", "--alias", "cache", "--ip", "10.80.0.150", "--ip6", "fd00:80::50",
        "--driver-opt", "com.docker.network.endpoint.ifname=net7", "--gw-priority", "3", "full", "two",
    )  # fmt: skip
    assert moby.docker("exec", "two", "ip", "route").stdout.startswith("default via 10.80.0.254 dev net7")
    assert answers() == b"it is me\n", "the port has moved with the default route"
    id = inspect(moby, "{{.Id}}", "two")
    assert says(moby, "network", "connect", "full", "two") == (
        "endpoint with name two already exists in network full"
    )
    full = settings(moby, "two")["Networks"]["full"]
    assert (full["Aliases"], full["IPAddress"], full["GlobalIPv6Address"]) == (
        ["cache"], "10.80.0.150", "fd00:80::50",
    )  # fmt: skip
    assert settings(moby, "two")["Ports"]["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    moby.docker("network", "connect", "back", "two")
    moby.docker("network", "disconnect", "full", "two")
    assert answers() == b"it is me\n"
    assert says(moby, "network", "disconnect", "full", "two") == (
        f"container {id} is not connected to network full"
    )
    moby.docker("network", "disconnect", "bridge", "two")
    assert answers() == b"it is me\n", "the next network has taken the port over"
    assert set(settings(moby, "two")["Networks"]) == {"back"}
    assert says(moby, "network", "disconnect", "full", "gone") == "No such container: gone"
    moby.docker("network", "disconnect", "-f", "full", "gone")
    moby.docker("network", "disconnect", "back", "two")
    assert settings(moby, "two")["Networks"] == {}
    moby.docker("restart", "-t", "0", "two")
    moby.docker("network", "connect", "back", "two")
    assert moby.docker("exec", "two", "ip", "-br", "link").stdout.count("eth0") == 1
    moby.docker("stop", "-t", "0", "two")
    moby.docker("network", "connect", "full", "two")
    moby.docker("start", "two")
    assert set(settings(moby, "two")["Networks"]) == {"back", "full"}


def test_prune_takes_what_nobody_uses(moby: TestPlatform) -> None:
    for name, label in (("used", "a"), ("stopped", "b"), ("free", "a"), ("spare", "b")):
        moby.docker("network", "create", "--label", f"team={label}", name)
    moby.docker("run", "-d", "--network", "used", *SLEEP)
    id = moby.docker("network", "inspect", "-f", "{{.Id}}", "stopped").stdout.strip()
    moby.docker("create", "--network", id, *SLEEP)  # by its id, which is not its name
    assert moby.docker("network", "prune", "-f", "--filter", "label=team=b").stdout.split() == [
        "Deleted", "Networks:", "spare",
    ]  # fmt: skip
    assert moby.docker("network", "prune", "-f").stdout.split() == ["Deleted", "Networks:", "free"]
    assert moby.docker("network", "prune", "-f").stdout == ""


def test_docker_py_speaks_of_networks_too(moby: TestPlatform) -> None:
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=f"unix://{moby.socket}", version="auto", timeout=60)
    try:
        pool = docker.types.IPAMPool(
            subnet="10.84.0.0/24",
            gateway="10.84.0.9",
            iprange="10.84.0.128/25",
            aux_addresses={"r": "10.84.0.200"},
        )
        network = client.networks.create(
            "py", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), internal=False,
            labels={"a": "b"}, enable_ipv6=False, attachable=True, check_duplicate=True,
        )  # fmt: skip
        assert network.attrs["IPAM"]["Config"] == [
            {
                "Subnet": "10.84.0.0/24", "Gateway": "10.84.0.9", "IPRange": "10.84.0.128/25",
                "AuxiliaryAddresses": {"r": "10.84.0.200"},
            }
        ]  # fmt: skip
        with pytest.raises(docker.errors.APIError) as caught:
            client.networks.create("py")
        assert (caught.value.status_code, caught.value.explanation) == (
            409, "network with name py already exists",
        )  # fmt: skip
        box = client.containers.run(
            "tools", ["sleep", "600"], detach=True, name="py", network="py",
            networking_config={"py": client.api.create_endpoint_config(
                aliases=["db"], ipv4_address="10.84.0.140", mac_address="02:42:0a:00:00:01")},
            ports={"80/tcp": None, "81/tcp": ("127.0.0.1", 8181), "82/udp": [8282, 8283]},
        )  # fmt: skip
        box.reload()
        joined = box.attrs["NetworkSettings"]["Networks"]["py"]
        assert (joined["IPAddress"], joined["Aliases"], joined["MacAddress"]) == (
            "10.84.0.140", ["db"], "02:42:0a:00:00:01",
        )  # fmt: skip
        assert box.ports["81/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "8181"}]
        assert {b["HostPort"] for b in box.ports["82/udp"]} == {"8282", "8283"}
        assert box.ports["80/tcp"][0]["HostPort"] != "0"
        second = client.networks.create("second", internal=True)
        second.connect(box, aliases=["x"], driver_opt={"com.docker.network.endpoint.ifname": "in0"})
        box.reload()
        assert set(box.attrs["NetworkSettings"]["Networks"]) == {"py", "second"}
        assert [c.name for c in client.networks.get("second").containers] == ["py"]
        assert [n.name for n in client.networks.list(names=["second"])] == ["second"]
        assert [n.name for n in client.networks.list(filters={"label": "a=b"}, greedy=True)] == ["py"]
        with pytest.raises(docker.errors.APIError) as caught:
            second.connect(box)
        assert caught.value.status_code == 403
        second.disconnect(box)
        with pytest.raises(docker.errors.APIError) as caught:
            second.disconnect(box)
        assert caught.value.status_code == 409
        with pytest.raises(docker.errors.APIError) as caught:
            network.remove()
        assert caught.value.status_code == 403
        box.remove(force=True)
        network.remove()
        with pytest.raises(docker.errors.NotFound):
            client.networks.get("py")
        assert client.networks.prune()["NetworksDeleted"] == ["second"]
        assert client.networks.prune()["NetworksDeleted"] is None
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            client.close()
