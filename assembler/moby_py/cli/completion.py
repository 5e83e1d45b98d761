"""`moby-py completion`, and the same word of a platform: tab completion for bash, zsh and fish."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog='\b\nExamples:\n  eval "$(NAME completion bash)"          in ~/.bashrc\n'
    '  eval "$(NAME completion zsh)"           in ~/.zshrc\n'
    "  NAME completion fish | source           in ~/.config/fish/config.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes bash, zsh or fish complete this command."""
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    program = (root.info_name or "moby-py").split()[0]
    variable = f"_{program}_COMPLETE".replace("-", "_").replace(".", "_").upper()
    kind = get_completion_class(shell)
    if kind is not None:
        # Not `kind.source()`: that of bash starts a bash to ask for its version.
        click.echo(kind.source_template % kind(root.command, {}, program, variable).source_vars())
