"""From unpacked layers to a container's root, and from a container's root back to a layer."""
