"""The help: commands and options in groups, which Typer has with Rich only."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import typer.core

from .exit_codes import MEANINGS
from .usage import HINTS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ACCESS",
    "CHECK",
    "KEYS",
    "LOOK",
    "MOVE",
    "OUTPUT",
    "PLACES",
    "SAFETY",
    "SPEED",
    "GroupedCommand",
    "GroupedCommands",
    "exit_codes",
]

#: Groups of commands.
LOOK, MOVE, CHECK, PLACES = "Look", "Copy and delete", "Compare and check", "Places"
#: Groups of options. Those of a command alone are in none.
KEYS, SAFETY, SPEED = "Which keys", "Safety", "Speed and memory"
ACCESS, OUTPUT = "Access", "Output"
#: Of arguments and options. The last ones, for each of two URLs, are after these.
_ORDER = ("Arguments", "Options", KEYS, SAFETY, SPEED, OUTPUT, ACCESS)


class GroupedCommand(typer.core.TyperCommand):
    """A command whose help shows its options in their groups."""

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """Return the options that show the help: ``-h``, unless it has a hint."""
        hints = HINTS.get(str(self.name), {})
        return [each for each in super().get_help_option_names(ctx) if each not in hints]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        records = []
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if isinstance(each, typer.core.TyperArgument):
                group = _ORDER[0]
            else:
                own = getattr(each, "rich_help_panel", None) or _ORDER[1]
                group = OUTPUT if each.name == "help" else own
            if record is not None:
                records.append((group, record))
        records.sort(key=lambda each: _ORDER.index(each[0]) if each[0] in _ORDER else len(_ORDER))
        _write_groups(formatter, records)


class GroupedCommands(typer.core.TyperGroup):
    """A group of commands whose help shows them in their groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names of the commands, and what they do."""
        limit = formatter.width - 6 - max(map(len, self.commands))
        records = [
            (str(getattr(each, "rich_help_panel", "")), (name, each.get_short_help_str(limit)))
            for name, each in self.commands.items()
        ]
        _write_groups(formatter, records)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def exit_codes() -> str:
    """The exit codes and their meanings, for the end of the help."""
    # "\b" keeps the lines of a paragraph.
    shown = [f"  {code:<5}{meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(("\b", "Exit codes:", *shown))


def _write_groups(formatter: Any, records: Iterable[tuple[str, tuple[str, str]]]) -> None:
    """Write groups in the order of their first records."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, record in records:
        groups.setdefault(group, []).append(record)
    for group, rows in groups.items():
        with formatter.section(group):
            formatter.write_dl(rows)
