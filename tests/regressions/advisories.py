"""What public advisories say can be called from a pickle, and where the scanners of their time saw nothing.

Facts only: an identifier, whose scanner missed it, and the callable with arguments of the kind that the advisory uses.
None of these is ever called: each becomes bytes that are read and judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.generator.written import Built, Called, Name

COMMAND = "touch marker"
CODE = "__import__('os').system('touch marker')"
SOURCE = "import os\nos.system('touch marker')\n"


@dataclass(frozen=True)
class Advisory:
    """One public report."""

    id: str
    """The identifier at github.com/advisories, or the place of the report."""
    of: str
    """The project whose check let it pass."""
    value: Any
    """What the pickle would do."""

    def __str__(self) -> str:
        return f"{self.of}-{self.id}"


def _call(id: str, of: str, callable: str, *args: Any) -> Advisory:
    """`callable` is spelled `module:name`."""
    module, _, name = callable.partition(":")
    return Advisory(id, of, Called(Name(module, name), *args))


_IMPORT_OS = Called(Name("builtins", "__import__"), "os")
_WITH_KWARGS = Called(Name("functools", "partial"), Name("torch.serialization", "load"), "other.bin")
_INSIDE = b"\x80\x02cos\nsystem\n."

PICKLESCAN = (
    _call("GHSA-655q-fx9r-782v", "picklescan", "pip:main", ["install", "package", "--no-input"]),
    _call("GHSA-v7x6-rv5q-mhwc", "picklescan", "timeit:timeit", "", SOURCE),
    _call("GHSA-4r9r-ch6f-vxmx", "picklescan", "torch.utils.bottleneck.__main__:run_cprofile", CODE, {}),
    _call("GHSA-4whj-rm5r-c2v8", "picklescan", "torch.utils.bottleneck.__main__:run_autograd_prof", CODE, {}),
    _call("GHSA-86cj-95qr-2p4f", "picklescan", "torch._dynamo.guards:GuardBuilder.get", {}, CODE),
    _call(
        "GHSA-f4x7-rfwp-v3xw",
        "picklescan",
        "torch.fx.experimental.symbolic_shapes:ShapeEnv.evaluate_guards_expression",
        {},
        CODE,
        [],
    ),
    _call("GHSA-f745-w6jp-hpxx", "picklescan", "torch.utils.collect_env:run", COMMAND),
    _call(
        "GHSA-jhph-76pp-mggw",
        "picklescan",
        "torch.utils.collect_env:run_and_read_all",
        Name("torch.utils.collect_env", "run"),
        COMMAND,
    ),
    _call("GHSA-h3qp-7fh3-f8h4", "picklescan", "torch.utils.data.datapipes.utils.decoder:basichandlers", "pickle", b""),
    _call("GHSA-vr7h-p6mm-wpmh", "picklescan", "torch.jit.unsupported_tensor_ops:execWrapper", CODE, {}, {}),
    _call("GHSA-vv6j-3g6g-2pvj", "picklescan", "torch.utils._config_module:ConfigModule.load_config", {}, b""),
    _call("GHSA-5qwp-399c-mjwf", "picklescan", "trace:Trace.run", {}, CODE),
    _call("GHSA-g344-hcph-8vgg", "picklescan", "trace:Trace.runctx", {}, CODE, {}, {}),
    _call("GHSA-x696-vm39-cp64", "picklescan", "profile:Profile.run", {}, CODE),
    _call("GHSA-6vqj-c2q5-j97w", "picklescan", "profile:Profile.runctx", {}, CODE, {}, {}),
    _call("GHSA-7wx9-6375-f5wh", "picklescan", "profile:run", CODE),
    _call("GHSA-f54q-57x4-jg88", "picklescan", "lib2to3.pgen2.grammar:Grammar.loads", {}, b""),
    _call("GHSA-p9w7-82w4-7q8m", "picklescan", "lib2to3.pgen2.pgen:ParserGenerator.make_label", None, {}, '""+' + CODE),
    _call("GHSA-3vg9-h568-4w9m", "picklescan", "idlelib.debugobj:ObjectTreeItem.SetText", {}, CODE),
    _call("GHSA-6w4w-5w54-rjvr", "picklescan", "idlelib.autocomplete:AutoComplete.get_entity", {}, CODE),
    _call("GHSA-7cq8-mj8x-j263", "picklescan", "idlelib.autocomplete:AutoComplete.fetch_completions", {}, CODE, 1),
    _call("GHSA-8r4j-24qv-fmq9", "picklescan", "idlelib.calltip:Calltip.fetch_tip", {}, CODE),
    _call("GHSA-9xph-j2h6-g47v", "picklescan", "idlelib.calltip:get_entity", CODE),
    _call("GHSA-m869-42cg-3xwr", "picklescan", "idlelib.run:Executive.runcode", {}, CODE),
    _call("GHSA-j343-8v2j-ff7w", "picklescan", "idlelib.pyshell:ModifiedInterpreter.runcommand", {}, CODE),
    _call("GHSA-3gf5-cxq9-w223", "picklescan", "idlelib.pyshell:ModifiedInterpreter.runcode", {}, CODE),
    _call("GHSA-cj3c-v495-4xqh", "picklescan", "code:InteractiveInterpreter.runcode", {}, CODE),
    _call("GHSA-xp4f-hrf8-rxw7", "picklescan", "ensurepip:_run_pip", [CODE]),
    _call("GHSA-fqq6-7vqf-w3fg", "picklescan", "doctest:debug_script", CODE, True),
    _call("GHSA-9w88-8rmg-7g2p", "picklescan", "cProfile:runctx", CODE, None, None),
    _call("GHSA-49gj-c84q-6qm9", "picklescan", "cProfile:run", CODE),
    _call(
        "GHSA-q77w-mwjj-7mqx",
        "picklescan",
        "asyncio.unix_events:_UnixSubprocessTransport._start",
        *({}, COMMAND, True, None, None, None, 0),
    ),
    _call("GHSA-f7qq-56ww-84cr", "picklescan", "asyncio.unix_events:_UnixSubprocessTransport", {}, COMMAND),
    _call("GHSA-m273-6v24-x4m4", "picklescan", "distutils.file_util:write_file", "marker", ["content"]),
    _call("GHSA-4675-36f9-wf6r", "picklescan", "ctypes:CDLL", None),
    Advisory(
        "GHSA-84r2-jw7c-4r5q",
        "picklescan",
        Called(Called(Name("operator", "methodcaller"), "system", COMMAND), Called(Name("pydoc", "locate"), "os")),
    ),
    _call("GHSA-vqmv-47xg-9wpr", "picklescan", "pty:spawn", ["/bin/sh", "-c", COMMAND]),
    _call("GHSA-hgrh-qx5j-jfwx", "picklescan", "pty:spawn", COMMAND),
    _call("GHSA-r8g5-cgf2-4m4m", "picklescan", "numpy.f2py.crackfortran:getlincoef", CODE, []),
    _call("GHSA-rrxm-2pvv-m66x", "picklescan", "numpy.f2py.crackfortran:getlincoef", CODE, {}),
    _call("GHSA-6556-fwc2-fg2p", "picklescan", "numpy.f2py.crackfortran:_eval_length", CODE, {}),
    _call("GHSA-3329-ghmp-jmv5", "picklescan", "numpy.f2py.crackfortran:myeval", CODE, {}),
    _call("GHSA-cffc-mxrf-mhh4", "picklescan", "numpy.f2py.crackfortran:param_eval", CODE, {}, {}),
    Advisory(
        "GHSA-955r-x9j8-7rhh",
        "picklescan",
        Called(Called(Name("_operator", "methodcaller"), "system", COMMAND), _IMPORT_OS),
    ),
    Advisory(
        "GHSA-46h3-79wf-xr6c",
        "picklescan",
        Called(Called(Called(Name("_operator", "attrgetter"), "system"), _IMPORT_OS), COMMAND),
    ),
    Advisory(
        "GHSA-vvpj-8cmc-gx39",
        "picklescan",
        Called(Called(Name("pkgutil", "resolve_name"), "os:system"), COMMAND),
    ),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "uuid:_get_command_stdout", "touch", "marker"),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "_osx_support:_read_output", COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "_osx_support:_find_build_tool", "x; " + COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "_aix_support:_read_cmd_output", COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "_pyrepl.pager:pipe_pager", "", COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "_pyrepl.pager:tempfile_pager", "", COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "imaplib:IMAP4_stream", COMMAND),
    _call("GHSA-g38g-8gr9-h9xp", "picklescan", "test.support.script_helper:assert_python_ok", "-c", SOURCE),
    _call("CVE-2025-46417", "picklescan", "ssl:get_server_certificate", ("secret.host.invalid", 443)),
    _call("picklescan-corpus", "picklescan", "pydoc:pipepager", "", COMMAND),
    _call("picklescan#29", "picklescan", "bdb:Bdb.run", Called(Name("bdb", "Bdb")), SOURCE),
    _call("picklescan#29", "picklescan", "pdb:run", SOURCE),
    _call("picklescan#29", "picklescan", "shutil:copyfile", "a", "b"),
    _call("picklescan-corpus", "picklescan", "venv:create", "venv", False, False, True, False, COMMAND),
    _call("picklescan-corpus", "picklescan", "torch._inductor.codecache:compile_file", "", "", ["sh", "-c", COMMAND]),
    _call("picklescan-corpus", "picklescan", "numpy.testing._private.utils:runstring", SOURCE, {}),
    _call("picklescan-corpus", "picklescan", "runpy:_run_code", CODE),
    _call("picklescan-corpus", "picklescan", "pickle:loads", b"I12345\n."),
    _call("picklescan-corpus", "picklescan", "http.client:HTTPSConnection", "host.invalid"),
    _call("picklescan-corpus", "picklescan", "socket:create_connection", ("host.invalid", 80)),
    _call("picklescan-corpus", "picklescan", "aiohttp.client:ClientSession"),
    _call("picklescan-corpus", "picklescan", "requests.api:get", "https://host.invalid"),
    _call("picklescan-corpus", "picklescan", "sys:exit", 0),
    _call("picklescan-corpus", "picklescan", "_io:FileIO", "/etc/hosts", "r"),
    _call("picklescan-corpus", "picklescan", "urllib.request:urlopen", "https://host.invalid"),
    Advisory("picklescan-corpus", "picklescan", Called(_WITH_KWARGS)),
    Advisory(
        "picklescan-corpus",
        "picklescan",
        Called(
            Called(Name("cloudpickle.cloudpickle", "_make_function"), Called(Name("types", "CodeType"), 0), {}),
        ),
    ),
    _call("picklescan#66", "picklescan", "importlib:import_module", "os"),
    _call("picklescan#66", "picklescan", "importlib.util:find_spec", "os"),
)

FICKLING = (
    _call("GHSA-r7v6-mfhq-g3m2", "fickling", "pty:spawn", COMMAND),
    Advisory(
        "GHSA-565g-hwwr-4pp3",
        "fickling",
        Built(
            Called(Called(Name("types", "FunctionType"), Called(Name("marshal", "loads"), b"\xe3\x00"), {})),
            "state",
        ),
    ),
    _call("GHSA-wfq2-52f7-7qvj", "fickling", "runpy:run_path", "/nonexistent/marker.py"),
    _call("GHSA-q5qq-mvfm-j35x", "fickling", "runpy:run_module", "marker"),
    Advisory(
        "GHSA-q5qq-mvfm-j35x",
        "fickling",
        Called(
            Called(Name("builtins", "getattr"), Called(Name("importlib", "import_module"), "os"), "system"), COMMAND
        ),
    ),
    Advisory(
        "GHSA-q5qq-mvfm-j35x",
        "fickling",
        Called(
            Called(Name("builtins", "getattr"), Called(Name("code", "InteractiveInterpreter")), "runsource"), SOURCE
        ),
    ),
    _call(
        "GHSA-q5qq-mvfm-j35x", "fickling", "multiprocessing.util:spawnv_passfds", b"/bin/sh", [b"-c", b"touch marker"]
    ),
    _call("GHSA-p523-jq9w-64x9", "fickling", "cProfile:run", CODE),
    Advisory(
        "GHSA-5hvc-6wx8-mvv4",
        "fickling",
        Called(Called(Name("builtins", "getattr"), Called(Name("ctypes", "CDLL"), "libc"), "system"), b"touch marker"),
    ),
    Advisory(
        "GHSA-5hvc-6wx8-mvv4",
        "fickling",
        Called(Called(Name("pydoc", "locate"), "ctypes.windll.kernel32.WinExec"), b"calc.exe", 1),
    ),
    _call("GHSA-5hwf-rc88-82xm", "fickling", "uuid:_get_command_stdout", "touch", "marker"),
    _call("GHSA-5hwf-rc88-82xm", "fickling", "_osx_support:_read_output", COMMAND),
    _call("GHSA-5hwf-rc88-82xm", "fickling", "_aix_support:_read_cmd_output", COMMAND),
    Advisory(
        "GHSA-h4rm-mm56-xf63",
        "fickling",
        Called(Called(Name("builtins", "getattr"), _IMPORT_OS, "system"), COMMAND),
    ),
    Advisory(
        "GHSA-mhc9-48gj-9gp3",
        "fickling",
        Built(Called(Name("smtplib", "SMTP"), "127.0.0.1", 9), {}),
    ),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "ftplib:FTP", "127.0.0.1"),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "poplib:POP3", "127.0.0.1", 9),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "telnetlib:Telnet", "127.0.0.1", 9),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "nntplib:NNTP", "127.0.0.1", 9),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "socketserver:TCPServer", ("127.0.0.1", 9), None),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "sqlite3:connect", "marker"),
    _call("GHSA-83pf-v6qq-pwmr", "fickling", "signal:raise_signal", 9),
    _call("_interpreters", "fickling", "_interpreters:exec", 0, SOURCE),
    _call("_interpreters", "fickling", "_xxsubinterpreters:run_string", 0, SOURCE),
    _call("platform", "fickling", "platform:popen", COMMAND),
    # What switches the check off, or was left unguarded.
    _call("GHSA-wccx-j62j-r448", "fickling", "fickling.hook:remove_hook"),
    _call("GHSA-wccx-j62j-r448", "fickling", "_pickle:loads", b"N."),
    _call("GHSA-fphw-536r-4p88", "fickling", "pickle:_loads", b"N."),
    _call("GHSA-fphw-536r-4p88", "fickling", "fickling.hook:deactivate_safe_ml_environment"),
    _call("GHSA-cffv-grgg-g429", "fickling", "torch.library:torch.hub.load", "a/b", "c"),
)

OTHERS = (
    _call("codeop", "picklescan", "codeop:compile_command", SOURCE),
    _call("compileall", "picklescan", "compileall:compile_file", "marker.py"),
    _call("py_compile", "picklescan", "py_compile:compile", "marker.py"),
    _call("modelscan#330", "modelscan", "numpy:size.__builtins__.get", "eval"),
    _call("modelscan#263", "modelscan", "builtins:getattr", Name("os", "path"), "os"),
    _call("modelscan#28", "modelscan", "dill._dill:_create_function", Called(Name("dill._dill", "_create_code"), 0)),
    _call("modelscan#367", "modelscan", "joblib:load", "other.joblib"),
    _call("CVE-2024-34997", "joblib", "joblib.numpy_pickle:NumpyArrayWrapper.read_array", {}, {}),
    _call("CVE-2024-3568", "transformers", "pickle:load", Called(Name("builtins", "open"), "other.pkl", "rb")),
    _call("CVE-2022-45907", "torch", "torch.jit.annotations:parse_type_line", CODE, {}, 0),
    _call("CVE-2024-48063", "torch", "torch.distributed.rpc.api:rpc_sync", "worker", Name("os", "system"), (COMMAND,)),
    _call("CVE-2024-5480", "torch", "torch.distributed.rpc:rpc_async", "worker", Name("builtins", "eval"), (CODE,)),
    _call("CVE-2019-6446", "numpy", "numpy:load", "other.npy", None, True),
    _call("CVE-2025-1550", "keras", "keras.src.saving.serialization_lib:deserialize_keras_object", {}),
    _call("CVE-2025-54412", "skops", "operator:methodcaller", "system", COMMAND),
    _call("CVE-2025-54886", "skops", "joblib:load", "other.skops"),
    _call("CVE-2025-32434", "torch", "torch:load", "other.tar"),
    _call("hide-and-seek", "2508.19774", "torch.storage:_load_from_bytes", _INSIDE),
    _call("hide-and-seek", "2508.19774", "pandas.io.pickle:read_pickle", "other.pkl"),
    _call("hide-and-seek", "2508.19774", "numpy.lib._npyio_impl:load", "other.npy", None, True),
    _call("hide-and-seek", "2508.19774", "dill:loads", _INSIDE),
    _call("hide-and-seek", "2508.19774", "torch.utils.show_pickle:DumpUnpickler.dump", {}, "other.pkl"),
    _call("hide-and-seek", "2508.19774", "torch.utils.cpp_extension:load", "x", ["marker.cpp"]),
    _call("hide-and-seek", "2508.19774", "torch.multiprocessing.spawn:spawn", Name("os", "system"), (COMMAND,)),
    _call("hide-and-seek", "2508.19774", "logging.config:dictConfig", {"()": "os.system"}),
    _call("hide-and-seek", "2508.19774", "unittest.mock:_importer", "os.system"),
    _call("hide-and-seek", "2508.19774", "site:execsitecustomize"),
    _call("hide-and-seek", "2508.19774", "webbrowser:open", "https://host.invalid"),
    _call("hide-and-seek", "2508.19774", "zipimport:zipimporter.load_module", {}, "marker"),
)

ALL = (*PICKLESCAN, *FICKLING, *OTHERS)
