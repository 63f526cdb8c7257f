"""The code starts or controls processes."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Use
from safeload.rules.base import Rule
from safeload.rules.catalogue import COMMAND, PROCESS
from safeload.rules.code_use import catalogued, checking, example, reaches, words

_NAMES = words(
    """
    subprocess os.system os.popen os.popen2 os.popen3 os.popen4 os.startfile os.execl os.execle os.execlp
    os.execlpe os.execv os.execve os.execvp os.execvpe os.fork os.forkpty os.spawnl os.spawnle os.spawnlp
    os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.kill os.killpg
    os.setuid os.setgid pty _posixsubprocess posix nt commands popen2 pexpect sh plumbum fabric invoke
    multiprocessing torch.multiprocessing concurrent.futures.ProcessPoolExecutor asyncio.create_subprocess_exec
    asyncio.create_subprocess_shell distutils.spawn signal.pthread_kill psutil.Popen IPython.get_ipython
    builtins.get_ipython deepspeed.launcher torch.distributed.run torch.distributed.launch
    torch.distributed.launcher timeit.main cProfile.run profile.run platform.popen
    """
)
_METHODS = words(
    """
    create_subprocess_exec create_subprocess_shell system popen Popen check_output check_call getoutput
    getstatusoutput execv execve execvp execvpe spawnv spawnve posix_spawn forkpty subprocess_exec subprocess_shell
    spawnv_passfds run_subprocess run_interactive_subprocess notebook_launcher elastic_launch
    """
)


def _chosen(use: Use) -> bool:
    if use.name.rpartition(".")[2].removesuffix("()") in _COUNTS:
        return False
    return reaches(use, _NAMES, _METHODS) or catalogued(use, COMMAND, PROCESS)


_COUNTS = frozenset(
    {"cpu_count", "current_process", "parent_process", "active_children"}
    | {"get_start_method", "get_all_start_methods"}
)
"""What only asks."""


def _bad() -> Iterable[Part]:
    yield example('import os as o\nrun = getattr(o, "sys" + "tem")\nrun("true")\n')
    yield example('f = {"p": __import__("subprocess").Popen}\nf["p"](["true"])\n')


def _good() -> Iterable[Part]:
    yield example('import os\npath = os.path.join("a", "b")\n')


RULE = Rule(
    id="code-process",
    title="the code starts or controls processes",
    why=(
        "A model has no need of other programs. Whatever is started here runs with all rights of the one who "
        "loads the model. Names are followed through aliases, containers, `getattr` and `__import__`."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-78",
        "AML.T0011.000",
    ),
    check=checking(_chosen, "starts or controls processes"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
