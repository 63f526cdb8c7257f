"""`safeload run PROGRAM`, `safeload run -m MODULE`"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [options] (FILE | -m MODULE) [--policy FILE] [--] [arguments of the program]"
    parser.epilog = (
        "The exit code is the program's. A refusal that it does not catch ends it with 1, as any error does; 2 means "
        "that it was not started. --policy may also follow the program; -- ends that."
    )
    parser.add_argument("--policy", metavar="FILE", help="this policy instead of the project's safeload.toml")
    parser.add_argument("--lock", metavar="FILE", help="this lock (default: the project's and $SAFELOAD_LOCK)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="nobody unpickles anything but plain data, not even processes that talk to each other",
    )
    parser.add_argument(
        "--unsafe-pickles-of",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module that may go on unpickling, such as a cache of the program's own; may be repeated",
    )
    # "..." is argparse.REMAINDER, which this module does without: see `straight`
    parser.add_argument("-m", dest="module", nargs="...", metavar="MODULE", help="run a module")
    parser.add_argument("program", nargs="...", metavar="FILE", help="run a file, with its arguments")


def run(parsed: argparse.Namespace) -> int:
    """Become the program. Returns only by raising: it could not be started."""
    from safeload.core.errors import UsageError
    from safeload.guarding import program
    from safeload.guarding.children import order

    name, *rest = parsed.module or parsed.program or [""]
    if parsed.module and parsed.program:  # argparse ends an option's words at `--`, and may drop it
        rest += parsed.program if parsed.program[0] == "--" else ["--", *parsed.program]
    words = [] if not name else ["-m", name] if parsed.module else [name]
    policy, rest = _trailing_policy(rest)
    if policy is not None and parsed.policy is not None:
        raise UsageError(
            "there are two policies", why="--policy was given twice", remedy=f"--policy {parsed.policy} {name} -- …"
        )
    files = {"policy": parsed.policy if policy is None else policy, "lock": parsed.lock}
    for kind, path in files.items():
        if path is not None and not os.path.isfile(path):
            raise UsageError(
                "the program was not started",
                where=path,
                why=f"there is no such {kind} file",
                remedy="safeload policy init" if kind == "policy" else "safeload lock MODEL",
            )
    given = {kind: os.path.abspath(path) for kind, path in files.items() if path is not None}
    text = order(given, strict=parsed.strict, unsafe_pickles_of=parsed.unsafe_pickles_of)
    program.run(text, [*words, *rest] if words else [])


def straight(words: Sequence[str]) -> None:
    """Become the program, if it is named without an option of ours: most are, and need no parser.

    Returns if it takes more than that, or cannot be started: `run` then does it, or says why not.
    """
    from safeload.guarding import program
    from safeload.guarding.children import order

    count = 2 if words[:1] == ["-m"] else 1
    named, rest = [*words[:count]], [*words[count:]]
    if len(named) < count or not named[-1] or named[-1].startswith("-") or program.ignores_environment():
        return
    policy, rest = _trailing_policy(rest)
    if policy is not None:
        return
    try:
        program.start(order({}, strict=False, unsafe_pickles_of=()), [*named, *rest])
    except OSError:
        return


def _trailing_policy(rest: list[str]) -> tuple[str | None, list[str]]:
    """Take `--policy FILE` out of what directly follows the program, and the `--` that ends what is ours."""
    policy = None
    if rest and rest[0].startswith("--policy="):
        policy, rest = rest[0].partition("=")[2], rest[1:]
    elif len(rest) > 1 and rest[0] == "--policy":
        policy, rest = rest[1], rest[2:]
    return policy, rest[1:] if rest[:1] == ["--"] else rest
