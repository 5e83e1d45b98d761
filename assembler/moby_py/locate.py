"""Where a module's files are, without running any of its code.

`importlib.util.find_spec("a.b")` imports `a`; here the parents are walked on the file system
instead, so that listing components, reading their schemas and hashing them runs nobody's code.
"""

from __future__ import annotations

import hashlib
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

SKIPPED = frozenset({"__pycache__"})


def module_file(module: str) -> Path | None:
    """The file of a module (`__init__.py` of a package); None when it is not found on disk."""
    first, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = find_spec(first)
        name = first
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, KeyError, ValueError, AttributeError):
        # KeyError: a nested namespace package asks sys.modules for a parent that is not imported.
        return None
    if spec is None or not spec.origin or not spec.has_location:
        return None
    return Path(spec.origin)


def beside(module: str, name: str) -> Path | None:
    """The file `name` in the folder of a module, if there is one."""
    origin = module_file(module)
    if origin is None:
        return None
    path = origin.parent / name
    return path if path.is_file() else None


def module_files(origin: Path) -> list[Path]:
    """All files that belong to a module: itself, or everything in its package's folder."""
    if origin.name != "__init__.py":
        return [origin]
    return sorted(
        path
        for path in origin.parent.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not SKIPPED.intersection(path.parts)
    )


def module_digest(origin: Path) -> str:
    """SHA-256 over names and contents of `module_files`, the same wherever they are installed."""
    digest = hashlib.sha256()
    base = origin.parent
    for path in module_files(origin):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(base).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
