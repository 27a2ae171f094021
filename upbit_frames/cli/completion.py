"""Scripts that complete commands, options and their values, generated of the parser (pure)."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

__all__ = ["SHELLS", "script", "words_of"]

SHELLS = ("bash", "zsh", "fish")

_BASH = """_upbit_frames() {
  local word="${COMP_WORDS[COMP_CWORD]}" path="" words="" part
  for part in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $part" in
%(paths)s
    esac
  done
  case "$path|${COMP_WORDS[COMP_CWORD-1]}" in
%(values)s
    *) case "$path" in
%(words)s
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _upbit_frames upbit-frames"""


def words_of(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Yield every parser with the commands that lead to it, the parser itself first."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from words_of(command, (*path, name))


def _candidates(parser: argparse.ArgumentParser) -> list[str]:
    """Return what may stand after the commands: options, further commands, choices of arguments."""
    words: list[str] = []
    for action in parser._actions:
        words += action.option_strings or [str(choice) for choice in action.choices or ()]
    return words


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script of a shell.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    shell : {"bash", "zsh", "fish"}
    """
    if shell == "fish":
        return "\n".join(_fish(parser))
    paths, values, words = [], [], []
    for path, command in words_of(parser):
        name = "".join(f" {word}" for word in path)
        if path:
            paths.append(f"      {shlex.quote(name)}) path={shlex.quote(name)} ;;")
        words.append(f"      {shlex.quote(name)}) words={shlex.quote(' '.join(_candidates(command)))} ;;")
        for action in command._actions:
            if action.option_strings and action.choices:
                keys = "|".join(shlex.quote(f"{name}|{option}") for option in action.option_strings)
                values.append(f"    {keys}) words={shlex.quote(' '.join(map(str, action.choices)))} ;;")
    text = _BASH % {"paths": "\n".join(paths), "values": "\n".join(values), "words": "\n".join(words)}
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _fish(parser: argparse.ArgumentParser) -> Iterator[str]:
    for path, command in words_of(parser):
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in path) or "__fish_use_subcommand"
        begin = f"complete -c upbit-frames -n {shlex.quote(seen)}"
        for action in command._actions:
            choices = " ".join(map(str, action.choices or ()))
            for option in action.option_strings:
                if option.startswith("--"):
                    yield f"{begin} -l {option[2:]}" + (f" -x -a {shlex.quote(choices)}" if choices else "")
            if choices and not action.option_strings:
                yield f"{begin} -a {shlex.quote(choices)}"
