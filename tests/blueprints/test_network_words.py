"""Networks in the words of the platform's own command, on real bridges in a host of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from support.lab import lab
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
SETS = ("components.runtime=[crun]", "components.network=bridge")
SLEEP = ("tools", "sleep", "600")


@pytest.fixture(scope="module")
def shared() -> Iterator[TestPlatform]:
    with lab() as here:
        with platform("quickstart.yaml", sets=SETS, user=here.prefix) as found:
            found("image", "from-host", "-t", "tools", "sh", "sleep", "ip")
            yield found
        assert here.leftovers() == []


@pytest.fixture
def moby(shared: TestPlatform) -> Iterator[TestPlatform]:
    """Empty before and after."""
    yield shared
    ids = shared("ps", "-aq").stdout.split()
    if ids:
        shared("rm", "-f", *ids)
    shared("network", "prune", "-f")
    assert shared("network", "ls", "--format", "{{.Name}}").stdout.split() == ["bridge", "host", "none"]


def says(moby: TestPlatform, *args: str) -> tuple[int, str]:
    done = moby(*args, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr.replace(moby.name, "NAME")


def joined(moby: TestPlatform, name: str) -> dict:
    return json.loads(moby("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]


def test_create_takes_every_option(moby: TestPlatform) -> None:
    id = moby(
        "network", "create", "--driver", "bridge", "--subnet", "10.80.0.0/24", "--subnet", "fd00:80::/64",
        "--gateway", "10.80.0.254", "--ip-range", "10.80.0.128/25", "--aux-address", "router=10.80.0.130",
        "-o", "com.docker.network.driver.mtu=1400", "--attachable", "--ipv6", "-l", "team=a", "-l", "flag",
        "--ipam-driver", "default", "--internal", "full",
    ).stdout.strip()  # fmt: skip
    [found] = json.loads(moby("network", "inspect", "full").stdout)
    assert (found["Id"], found["Attachable"], found["Internal"], found["EnableIPv6"]) == (
        id,
        True,
        True,
        True,
    )
    assert found["IPAM"]["Config"] == [
        {
            "Subnet": "10.80.0.0/24", "Gateway": "10.80.0.254", "IPRange": "10.80.0.128/25",
            "AuxiliaryAddresses": {"router": "10.80.0.130"},
        },
        {"Subnet": "fd00:80::/64", "Gateway": "fd00:80::1"},
    ]  # fmt: skip
    assert (found["Options"], found["Labels"]) == (
        {"com.docker.network.driver.mtu": "1400"}, {"team": "a", "flag": ""},
    )  # fmt: skip
    form = "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.CreatedAt}}"
    line = moby("network", "ls", "--filter", "type=custom", "--format", form).stdout
    assert line == f"full bridge local true true true flag=,team=a {found['Created']}\n"
    assert moby("network", "ls", "-q", "--no-trunc", "--filter", "name=full").stdout == f"{id}\n"
    assert moby("network", "ls").stdout.splitlines()[0].split() == [
        "NETWORK",
        "ID",
        "NAME",
        "DRIVER",
        "SCOPE",
    ]


def test_what_cannot_be_is_said_in_one_line(moby: TestPlatform) -> None:
    moby("network", "create", "--subnet", "10.80.0.0/24", "full")
    usage = "hint: NAME network create [OPTIONS] NAME    (see NAME network create --help)\n"
    for words, status, text in (
        (("full",), 1, "error: network with name full already exists\n"),
        (("host",), 1, "error: operation is not permitted on predefined host network\n"),
        (
            ("--subnet", "10.80.0.0/25", "x"), 1,
            "error: invalid pool request: Pool overlaps with other one on this address space\n"
            "hint: 10.80.0.0/25 is taken; choose another subnet, or leave --subnet away\n",
        ),
        (("--gateway", "10.1.0.1", "x"), 2, f"error: no matching subnet for --gateway 10.1.0.1\n{usage}"),
        (("--subnet", "nonsense", "x"), 1, "error: invalid subnet nonsense: invalid CIDR address\n"),
        (
            ("-d", "host", "x"), 1,
            'error: only one instance of "host" network is allowed\n',
        ),
        ((), 2, f"error: missing argument 'NAME'\n{usage}"),
    ):  # fmt: skip
        assert says(moby, "network", "create", *words) == (status, text)
    assert says(moby, "network", "rm", "nope") == (1, "error: network nope not found\n")
    assert moby("network", "rm", "-f", "nope", "full").stdout == "nope\nfull\n"
    form = ("--network", "name=full,bad=1")
    assert says(moby, "run", *form, "tools", "true")[1].startswith(
        "error: unexpected key 'bad' in --network 'name=full,bad=1' - known are name, alias, ip, ip6, "
        "mac-address, link-local-ip, driver-opt, gw-priority\n"
    )
    assert says(moby, "run", "--rm", "--network", "nope", "tools", "true") == (
        125, "error: network nope not found\n",
    )  # fmt: skip


def test_connect_and_disconnect(moby: TestPlatform) -> None:
    moby("network", "create", "--subnet", "10.80.0.0/24", "--subnet", "fd00:80::/64", "full")
    moby("network", "create", "--internal", "closed")
    long = (
        "name=full,alias=db,ip=10.80.0.14,driver-opt=com.docker.network.endpoint.ifname=data0,gw-priority=2"
    )
    moby("run", "-d", "--name", "web", "--network", long, "--network", "closed", "-p", "9000-9010:90", *SLEEP)
    assert {name: e["IPAddress"] for name, e in joined(moby, "web").items()}["full"] == "10.80.0.14"
    assert moby("port", "web").stdout == "90/tcp -> 0.0.0.0:9000\n90/tcp -> [::]:9000\n"
    moby("run", "-d", "--name", "two", "-p", "9000-9010:90", *SLEEP)
    assert moby("port", "two", "90").stdout == "0.0.0.0:9001\n[::]:9001\n"
    done = moby(
        "network", "connect", "--alias", "cache", "--ip", "10.80.0.15", "--ip6", "fd00:80::50",
        "--driver-opt", "com.docker.network.endpoint.ifname=net7", "--gw-priority", "3", "full", "two",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    shown = joined(moby, "two")["full"]
    assert (shown["IPAddress"], shown["GlobalIPv6Address"], shown["Aliases"], shown["GwPriority"]) == (
        "10.80.0.15", "fd00:80::50", ["cache"], 3,
    )  # fmt: skip
    assert moby("exec", "two", "ip", "route").stdout.startswith("default via 10.80.0.1 dev net7")
    id = moby("inspect", "-f", "{{.Id}}", "two").stdout.strip()
    hint = "hint: docker network disconnect full web\n"
    for words, text in (
        (("connect", "full", "two"), "error: endpoint with name two already exists in network full\n"),
        (("connect", "full", "nope"), "error: no such container: nope\n"),
        (("connect", "nope", "two"), "error: network nope not found\n"),
        (("disconnect", "closed", "two"), f"error: container {id} is not connected to network closed\n"),
        (("disconnect", "full", "gone"), "error: no such container: gone\n"),
    ):
        assert says(moby, "network", *words) == (1, text)
    status, text = says(moby, "network", "rm", "full")
    assert status == 1 and text.endswith(hint)
    assert text.startswith("error: error while removing network: network full has active endpoints (")
    assert moby("network", "disconnect", "-f", "full", "gone").stdout == ""
    moby("network", "disconnect", "full", "two")
    assert set(joined(moby, "two")) == {"bridge"}
    assert moby("network", "prune", "-f").stdout == ""


def test_links_and_resolver_options(moby: TestPlatform) -> None:
    moby("network", "create", "back")
    moby("run", "-d", "--name", "db", "--network", "back", *SLEEP)
    address = joined(moby, "db")["back"]["IPAddress"]
    show = ("tools", "sh", "-c", "while read line; do echo $line; done < /etc/hosts")
    text = moby("run", "--rm", "--network", "back", "--link", "db:store", *show).stdout
    assert f"{address} store " in text
    moby("run", "-d", "--name", "old", *SLEEP)
    text = moby("run", "--rm", "--link", "old:elder", *show).stdout
    assert f"{joined(moby, 'old')['bridge']['IPAddress']} elder " in text
    moby("run", "-d", "--name", "web", *SLEEP)
    moby("network", "connect", "--link", "db:store", "back", "web")
    assert f"{address} store " in moby("exec", "web", *show[1:]).stdout
    resolv = ("tools", "sh", "-c", "while read line; do echo $line; done < /etc/resolv.conf")
    text = moby(
        "run", "--rm", "--dns", "9.9.9.9", "--dns-search", "x.org", "--dns-option", "ndots:3", *resolv
    )
    assert text.stdout == "nameserver 9.9.9.9\nsearch x.org\noptions ndots:3\n"


def test_names_are_completed(moby: TestPlatform) -> None:
    moby("network", "create", "backbone")
    moby("run", "-d", "--name", "bastion", *SLEEP)
    variable = f"_{moby.name.upper().replace('-', '_')}_COMPLETE"

    def completed(*words: str) -> list[str]:
        env = {
            **moby.env, variable: "bash_complete",
            "COMP_WORDS": " ".join([moby.name, *words]), "COMP_CWORD": str(len(words)),
        }  # fmt: skip
        done = subprocess.run(
            moby.command(), env=env, capture_output=True, text=True, timeout=30, check=False, cwd=moby.base
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("network", "connect", "ba") == ["backbone"]
    assert completed("network", "connect", "backbone", "ba") == ["bastion"]
    assert completed("network", "disconnect", "b") == ["bridge", "backbone"]
    assert completed("network", "rm", "back") == ["backbone"]
    assert "--gw-priority" in completed("network", "connect", "--g")
    assert completed("run", "--network", "back") == ["backbone"]


def test_help_names_every_option(moby: TestPlatform) -> None:
    for command, options in (
        ("create", ("--subnet", "--gateway", "--ip-range", "--aux-address", "--ipam-driver", "--ipam-opt",
                    "--internal", "--attachable", "--ipv6", "--opt", "--label", "--driver")),
        ("connect", ("--alias", "--link", "--ip", "--ip6", "--driver-opt", "--gw-priority")),
        ("disconnect", ("--force",)),
        ("rm", ("--force",)),
    ):  # fmt: skip
        text = moby("network", command, "--help").stdout
        assert text.startswith(f"Usage: {moby.name} network {command} [OPTIONS] ")
        assert [option for option in options if f"{option} " not in text] == []
        assert f"  Example:\n    {moby.name} network {command} " in text
