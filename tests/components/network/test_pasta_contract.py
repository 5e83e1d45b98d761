"""network/pasta keeps every promise of its kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.network.pasta.component import PastaNetwork
from moby_py.kinds import Network
from moby_py.model import Sandbox
from moby_py.testing import NetworkContract


@pytest.mark.root
class TestPasta(NetworkContract):
    component_class = PastaNetwork
    good_options = (
        {},
        {"uplink": "slirp4netns", "uplink_subnet": "10.9.0.0/24", "mtu": 1500, "udp_idle": 0.5},
    )
    bad_options = (
        ({"uplink": "vpnkit"}, "'vpnkit' is not one of ['auto', 'pasta', 'slirp4netns']"),
        ({"uplink_subnet": "10.0.2.0/30"}, "'10.0.2.0/30' does not match"),
        ({"mtu": 65521}, "65521 is greater than the maximum of 65520"),
        ({"udp_idle": 0}, "0 is less than or equal to the minimum of 0"),
    )

    def test_an_endpoint_lives(self, network: Network, tmp_path: Path) -> None:
        """Without uplink and forwarder: a host that is offline has containers that meet."""
        sandbox = tmp_path / "sandbox"
        pin_network_namespace(sandbox)
        try:
            record = replace(
                network.predefined()[0],
                id="e" * 64,
                ipam={"Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]},
            )
            request = replace(
                self.request(record, Sandbox(mode="private", path=str(sandbox))),
                ipv4="10.77.0.2/24",
                gateway4="10.77.0.1",
                mac="02:42:0a:4d:00:02",
            )
            attachment = self.endpoint_lives(network, record, request)
        finally:
            umount(sandbox, lazy=True)
        assert (attachment.interface, attachment.ipv4) == ("eth0", "10.77.0.2/24")

    def test_its_world_is_there_while_it_is_open(self, network: Network) -> None:
        import asyncio

        assert Path(network.world).exists()
        asyncio.run(network.close())
        assert not Path(network.world).exists()
