"""`make docs`: write the pages that come out of the code. A test holds them against their source.

docs/reference/components.md          every built-in, its options with defaults
docs/reference/blueprint.schema.json  the blueprint's schema, for editors
docs/quickstart.svg                   the wiring of blueprints/quickstart.yaml
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def components_page() -> str:
    """Markdown of every built-in component, from its registration and its schema file."""
    from moby_components import BUILTINS
    from moby_py.registry import Registry

    registry = Registry()
    lines = [
        "# Components",
        "",
        "Generated from the option schemas by `make docs`; do not edit.",
        "Every built-in works with no options.",
    ]
    for key in BUILTINS:
        kind, _, name = key.partition(".")
        schema = registry.schema(kind, name)
        lines += ["", f"## {kind}/{name}", "", schema.get("description", "")]
        rows = list(_options(schema))
        if rows:
            lines += ["", "| option | type | default | meaning |", "|---|---|---|---|", *rows]
        else:
            lines += ["", "It has no options."]
    return "\n".join(lines) + "\n"


def _options(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in schema.get("properties", {}).items():
        kind = option.get("type", "one of " + ", ".join(map(str, option.get("enum", ()))))
        default = f"`{json.dumps(option['default'])}`" if "default" in option else ""
        text = str(option.get("description", "")).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {kind} | {default} | {text} |"
        yield from _options(option, f"{prefix}{name}.")


def schema_text() -> str:
    """What `moby-py schema` prints, of the built-ins alone."""
    command = [sys.executable, "-m", "moby_py", "schema", "--built-in"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pages() -> dict[Path, str]:
    return {
        ROOT / "docs/reference/components.md": components_page(),
        ROOT / "docs/reference/blueprint.schema.json": schema_text(),
    }


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        build = ["build", str(ROOT / "blueprints/quickstart.yaml"), "-o", f"{folder}/out"]
        subprocess.run([sys.executable, "-m", "moby_py", *build], check=True, capture_output=True)
        shutil.copy(f"{folder}/out/graph.svg", ROOT / "docs/quickstart.svg")
        print("docs/quickstart.svg")


if __name__ == "__main__":
    main()
