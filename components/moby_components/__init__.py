"""The built-in components, one line each. Deleting a line removes that component and nothing else."""

BUILTINS: dict[str, str] = {
    "runtime.bubblewrap": "moby_components.runtime.bubblewrap",
    "runtime.runc": "moby_components.runtime.runc",
    "runtime.crun": "moby_components.runtime.crun",
    "runtime.runsc": "moby_components.runtime.runsc",
    "runtime.oci": "moby_components.runtime.oci",
    "image_store.overlay": "moby_components.image_store.overlay",
    "network.none": "moby_components.network.none",
    "network.bridge": "moby_components.network.bridge",
    "network.cni": "moby_components.network.cni",
    "network.host": "moby_components.network.host",
    "network.macvlan": "moby_components.network.macvlan",
    "network.netavark": "moby_components.network.netavark",
    "network.remote": "moby_components.network.remote",
    "network.pasta": "moby_components.network.pasta",
    "volume.local": "moby_components.volume.local",
    "secrets.age": "moby_components.secrets.age",
    "engine.moby": "moby_components.engine.moby",
    "api.docker": "moby_components.api.docker",
}
"""Each module has a pluggy `@hookimpl def moby_components()`: the same door as a third party's."""
