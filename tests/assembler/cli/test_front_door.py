"""The command line's manners: one form for every error, examples in every help, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from moby_py.cli.main import ASSEMBLER_COMMANDS, chosen, moby_py, platform_group

UP = "hint: moby-py up [OPTIONS] [OUT]    (see moby-py up --help)\n"
WRONG = {
    "buld": "error: no such command 'buld'\nhint: did you mean 'build'?\n",
    "xyzzy": "error: no such command 'xyzzy'\n"
    "hint: moby-py [OPTIONS] COMMAND [ARGS]...    (see moby-py --help)\n",
    "build --outt x": "error: no such option '--outt'\nhint: did you mean --out?\n",
    "up --timeout": "error: option '--timeout' requires an argument\nhint: moby-py --help\n",
    "up a b": f"error: got unexpected extra argument (b)\n{UP}",
    "up --timeout soon": f"error: invalid value for '--timeout': 'soon' is not a valid float\n{UP}",
    "-p": "error: option '-p' requires an argument\nhint: moby-py --help\n",
    "-p /nowhere ps": "error: /nowhere is not a platform directory - there is no such directory\n"
    "hint: moby-py build blueprint.yaml -o /nowhere\n",
    "-p OUT rm": "error: missing argument 'CONTAINER...'\n"
    "hint: moby-py -p OUT rm [OPTIONS] CONTAINER...    (see moby-py -p OUT rm --help)\n",
    "-p OUT container lss": "error: no such command 'lss'\nhint: did you mean 'ls'?\n",
    "-p OUT run --memory much x": "error: invalid size 'much' for --memory - write a number with b, k, m or "
    "g\n"
    "hint: moby-py -p OUT run [OPTIONS] IMAGE [COMMAND]...    (see moby-py -p OUT run --help)\n",
}


def say(*args: str, **env: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "moby_py", *args]
    done = subprocess.run(
        argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def out(tmp_path: Path) -> str:
    (tmp_path / "platform.yaml").write_text("name: shop\n")
    return str(tmp_path)


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_told_in_one_form(line: str, out: str) -> None:
    status = 125 if " run " in line else 1 if "/nowhere" in line else 2
    args = [out if word == "OUT" else word for word in line.split()]
    assert say(*args) == (
        status,
        "",
        WRONG[line].replace("OUT rm", f"{out} rm").replace("OUT run", f"{out} run"),
    )


@pytest.mark.parametrize(
    ("told", "message", "hint"),
    [
        ("No such container: web", "no such container: web", None),
        ("A thing is so\nhint: do that", "a thing is so", "do that"),
        ("OCI runtime failed", "OCI runtime failed", None),
        (
            'Conflict. The container name "/a" is already in use by container "12". You have to remove (or '
            "rename) that container to be able to reuse that name.",
            'the container name "/a" is already in use by container "12"',
            "remove (or rename) that container to be able to reuse that name",
        ),
    ],
)
def test_what_a_platform_says_is_told_in_the_same_form(told: str, message: str, hint: str | None) -> None:
    from moby_py.cli.docker.client import our_words

    assert our_words(told) == (message, hint)


def test_the_platform_may_be_named_in_every_spelling() -> None:
    assert chosen(["-p", "out", "ps"]) == ("out", ["ps"])
    assert chosen(["--platform", "out", "ps"]) == ("out", ["ps"])
    assert chosen(["--platform=out", "ps"]) == ("out", ["ps"])
    assert chosen(["-pout", "ps"]) == ("out", ["ps"])
    assert chosen(["ps", "-p", "out"]) == ("", ["ps", "-p", "out"])
    assert chosen([]) == ("", [])


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command, click.Context]]:
    ctx = click.Context(group, info_name=path)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None, name
        yield f"{path} {name}", command, click.Context(command, info_name=name, parent=ctx)
        if isinstance(command, click.Group):
            for below in command.list_commands(ctx):
                leaf = command.get_command(ctx, below)
                assert leaf is not None, below
                yield f"{path} {name} {below}", leaf, click.Context(leaf, info_name=below, parent=ctx)


def test_every_help_has_examples_that_can_be_typed() -> None:
    lacking = []
    for group, prog in ((moby_py, "moby-py"), (platform_group("out", "shop"), "shop")):
        for path, command, ctx in commands(group, prog):
            _, found, examples = command.get_help(ctx).partition("\n  Example")
            if not found or f"{prog} " not in examples or "NAME " in examples:
                lacking.append(path)
    assert lacking == []


def test_summaries_fit_a_terminal_of_eighty_columns() -> None:
    long = [
        path
        for group in (moby_py, platform_group("out", "shop"))
        for path, command, _ in commands(group, "")
        if path.count(" ") == 1 and len(command.get_short_help_str(limit=200)) > 66
    ]
    assert long == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("moby-py b", ["plain,build"]),
        ("moby-py build --lo", ["plain,--locked"]),
        ("moby-py completion f", ["plain,fish"]),
        ("moby-py -p OUT pa", ["plain,pause"]),
        ("moby-py -p OUT network r", ["plain,rm"]),
        ("moby-py -p OUT rm ", [""]),
        ("shop hist", ["plain,history"]),
    ],
)
def test_completion(words: str, found: list[str], out: str) -> None:
    typed = words.replace("OUT", out)
    program = typed.split()[0]
    env = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "MOBY_PY_PROG": program}
    env[f"_{program.upper().replace('-', '_')}_COMPLETE"] = "bash_complete"
    args = ["-p", out] if program == "shop" else []
    if program == "moby-py":
        del env["MOBY_PY_PROG"]
    status, told, wrong = say(*args, **env)
    assert (status, told.splitlines(), wrong) == (0, found, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_names_the_program(shell: str, out: str) -> None:
    assert "_MOBY_PY_COMPLETE" in say("completion", shell)[1]
    assert "_SHOP_COMPLETE" in say("-p", out, "completion", shell, MOBY_PY_PROG="shop")[1]


def test_bash_takes_the_script() -> None:
    line = 'eval "$("$0" -m moby_py completion bash)" && complete -p moby-py'
    done = subprocess.run(["bash", "-c", line, sys.executable], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("complete -o nosort -F _moby_py_completion moby-py\n", "")


def test_every_command_has_a_heading() -> None:
    ctx = click.Context(moby_py, info_name="moby-py")
    assert "\nCommands:\n" not in moby_py.get_help(ctx)
    assert set(ASSEMBLER_COMMANDS) == set(moby_py.list_commands(ctx))
    words = platform_group("out", "shop")
    assert "\nCommands:\n" not in words.get_help(click.Context(words, info_name="shop"))
