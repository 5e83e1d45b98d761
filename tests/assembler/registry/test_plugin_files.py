"""`--plugin FILE.py`: the first rung for an author, and every way in which a plugin can be broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from moby_py.errors import PluginError
from moby_py.registry import Registry

Write = Callable[[str, str], Path]

HEAD = """
from moby_py import Component, hookimpl

class Thing(Component):
    kind = "gadget"
    name = "thing"
    summary = "a thing"
"""
GOOD = HEAD + "\n@hookimpl\ndef moby_components():\n    return [Thing]\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_brings_a_component_of_a_new_kind(write: Write) -> None:
    path = write("gadget.py", GOOD)
    registry = Registry([path])
    assert registry.names("gadget") == ["thing"]
    assert list(registry.kinds())[-1] == "gadget"
    entry = registry.entry("gadget", "thing")
    assert (entry.origin, entry.module) == (str(path), "moby_py_plugin_gadget")
    cls = registry.load("gadget", "thing")
    assert cls.summary == "a thing"
    assert registry.summary("gadget", "thing") == "a thing"


def test_without_a_schema_file_it_takes_no_options(write: Write) -> None:
    schema = Registry([write("g1.py", GOOD)]).schema("gadget", "thing")
    assert (schema["properties"], schema["additionalProperties"]) == ({}, False)


def test_its_schema_file_lies_beside_it(write: Write) -> None:
    path = write("g2.py", GOOD.replace('name = "thing"', 'name = "thing"\n    schema = "thing.json"'))
    write("thing.json", '{"type": "object", "properties": {"size": {"type": "integer"}}}')
    assert list(Registry([path]).schema("gadget", "thing")["properties"]) == ["size"]


BROKEN = {
    "a syntax error": ("def", "cannot import it: SyntaxError: invalid syntax (NAME.py, line 1)"),
    "an import that fails": (
        "import no_such_module_at_all",
        "cannot import it: No module named 'no_such_module_at_all'",
    ),
    "sys.exit": ("import sys; sys.exit(3)", "cannot import it: it ends the program (sys.exit) on import"),
    "an exception without words": ("raise RuntimeError", "cannot import it: RuntimeError"),
    "no hook": (
        HEAD,
        "moby_py_plugin_NAME (from FILE) has no hook - nothing in it is marked with @moby_py.hookimpl",
    ),
    "a misspelled hook": (
        GOOD.replace("moby_components", "moby_component"),
        "moby_py_plugin_NAME (from FILE) has a hook that nobody calls - "
        "unknown hook 'moby_component' in plugin <module 'moby_py_plugin_NAME' from 'FILE'>",
    ),
    "a hook with a parameter that does not exist": (
        GOOD.replace("moby_components()", "moby_components(blueprint)"),
        "moby_py_plugin_NAME (from FILE) has a hook that does not fit - "
        "Plugin 'moby_py_plugin_NAME' for hook 'moby_components' "
        "hookimpl definition: moby_components(blueprint) Argument(s) {'blueprint'} are "
        "declared in the hookimpl but can not be found in the hookspec",
    ),
    "a wrapper": (
        GOOD + "\n@hookimpl(wrapper=True)\ndef event(event):\n    return (yield)\n",
        "moby_py_plugin_NAME (from FILE) wraps the hook event - wrappers are not supported",
    ),
    "a hook that raises": (
        GOOD.replace("return [Thing]", "1 / 0"),
        "moby_py_plugin_NAME (from FILE) fails in moby_components - ZeroDivisionError: division by zero",
    ),
    "something that is no component": (
        GOOD.replace("[Thing]", "[int]"),
        "moby_py_plugin_NAME (from FILE) brings <class 'int'> - it is not a subclass of moby_py.Component",
    ),
    "a component without a name": (
        GOOD.replace('name = "thing"', ""),
        "moby_py_plugin_NAME (from FILE) brings Thing - it has no kind or no name",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(write: Write, what: str) -> None:
    text, message = BROKEN[what]
    name = re.sub(r"\W", "_", what)
    path = write(f"{name}.py", text)
    with pytest.raises(PluginError) as caught:
        Registry([path]).entries()
    expected = message.replace("NAME", name).replace("FILE", str(path))
    assert caught.value.message == f"{path}: {expected}"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        Registry([tmp_path / "none.py"]).entries()
    assert caught.value.message == f"{tmp_path}/none.py: no such plugin file"


def test_a_file_that_is_no_python(write: Write) -> None:
    path = write("plugin.txt", GOOD)
    with pytest.raises(PluginError) as caught:
        Registry([path]).entries()
    assert caught.value.message == f"{path}: a plugin file is a Python file"


def test_the_hint_for_a_misspelled_hook_lists_the_hooks(write: Write) -> None:
    with pytest.raises(PluginError) as caught:
        Registry([write("m.py", GOOD.replace("moby_components", "moby_component"))]).entries()
    assert caught.value.hint == (
        "the hooks are moby_components, before_build, after_build, container_spec, event"
    )


def test_after_a_broken_file_the_next_one_still_loads(write: Write) -> None:
    registry = Registry()
    with pytest.raises(PluginError):
        registry.plugins.load_file(write("bad.py", GOOD.replace("moby_components", "moby_component")))
    plugin = registry.plugins.load_file(write("fine.py", GOOD))
    assert [cls.name for cls in plugin.classes] == ["thing"]
    assert registry.plugins.implementations("event") == []


def test_a_name_that_two_bring_is_a_clash_naming_both(write: Write) -> None:
    one, two = write("one.py", GOOD), write("two.py", GOOD)
    registry = Registry([one, two])
    assert len(registry.entries()) == len(Registry().entries()) + 2
    with pytest.raises(PluginError) as caught:
        registry.load("gadget", "thing")
    assert caught.value.message == f"gadget.thing is brought twice - by {one} and by {two}"
    assert caught.value.hint == "leave one of them out"
    looked = [registry.examine(e) for e in registry.entries() if e.kind == "gadget"]
    assert [e.status for e in looked] == ["broken", "broken"]


def test_a_class_that_is_no_runtime_is_refused_as_one(write: Write) -> None:
    path = write("fake.py", GOOD.replace("gadget", "runtime").replace('"thing"', '"fake"'))
    with pytest.raises(PluginError) as caught:
        Registry([path]).load("runtime", "fake")
    assert caught.value.message == (
        f"runtime.fake: Thing (from {path}) is no runtime - "
        "it does not subclass moby_py.kinds.runtime.Runtime"
    )
