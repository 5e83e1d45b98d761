"""network/none and network/host keep every promise of their kind."""

from moby_components.network.host import HostNetwork
from moby_components.network.none import NoNetwork
from moby_py.testing import NetworkContract


class TestNone(NetworkContract):
    component_class = NoNetwork


class TestHost(NetworkContract):
    component_class = HostNetwork
