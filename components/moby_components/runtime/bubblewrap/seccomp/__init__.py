"""A seccomp profile in the runtime specification's form -> a classic BPF program for the kernel."""

from moby_components.runtime.bubblewrap.seccomp.compile import compile_profile

__all__ = ["compile_profile"]
