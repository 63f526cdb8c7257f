"""What known callables can do, so that a finding can say more than "not listed".

The catalogue only decides how loud a finding is: what is missing here is still outside the allowlist. Its entries come
from public advisories (picklescan, fickling, torch, keras, joblib) and from the documentation of the libraries.
Standard-library modules need no entry to be dangerous; theirs only make the message precise.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType

from safeload.core.names import GlobalName

COMMAND = "runs commands"
CODE = "runs code"
IMPORT = "imports modules by name"
RESOLVE = "resolves names, so that it can reach any function"
MAKE = "makes functions, types or code objects"
FILE = "opens, reads or writes files"
NETWORK = "opens connections"
UNPICKLE = "unpickles further data without limits"
NATIVE = "loads native code or touches memory"
LOADER = "changes how programs load or check things"
PROCESS = "controls processes"
LEAK = "discloses or changes the environment"

_ANY = "*"

_STDLIB: dict[str, dict[str, str]] = {
    "builtins": {
        **dict.fromkeys(("eval", "exec", "compile", "breakpoint", "help", "execfile"), CODE),
        **dict.fromkeys(("__import__", "__build_class__", "reload"), IMPORT),
        **dict.fromkeys(("getattr", "setattr", "delattr", "hasattr", "vars", "globals", "locals", "dir"), RESOLVE),
        **dict.fromkeys(
            ("map", "filter", "apply", "sorted", "min", "max", "iter", "next", "reduce"), "calls its arguments"
        ),
        **dict.fromkeys(("type", "classmethod", "staticmethod", "property", "super"), MAKE),
        **dict.fromkeys(("open", "file", "input", "raw_input", "print"), FILE),
        **dict.fromkeys(("exit", "quit"), PROCESS),
    },
    "os": {
        **dict.fromkeys(("system", "popen", "popen2", "popen3", "popen4", "startfile"), COMMAND),
        **dict.fromkeys(
            (
                *("execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe", "fork", "forkpty"),
                *("spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnv", "spawnve", "spawnvp", "spawnvpe", "kill"),
                *("posix_spawn", "posix_spawnp", "_exit", "abort", "killpg"),
            ),
            PROCESS,
        ),
        **dict.fromkeys(("environ", "getenv", "putenv", "unsetenv", "setuid", "chroot"), LEAK),
        _ANY: FILE,
    },
    "subprocess": {_ANY: COMMAND},
    "pty": {_ANY: COMMAND},
    "commands": {_ANY: COMMAND},
    "popen2": {_ANY: COMMAND},
    "_posixsubprocess": {_ANY: COMMAND},
    "_winapi": {_ANY: COMMAND},
    "asyncio": {_ANY: COMMAND},
    "multiprocessing": {_ANY: PROCESS},
    "concurrent": {_ANY: PROCESS},
    "threading": {_ANY: CODE},
    "_thread": {_ANY: CODE},
    "sched": {_ANY: CODE},
    "signal": {_ANY: PROCESS},
    "atexit": {_ANY: CODE},
    "runpy": {_ANY: CODE},
    "code": {_ANY: CODE},
    "codeop": {_ANY: CODE},
    "timeit": {_ANY: CODE},
    "cProfile": {_ANY: CODE},
    "profile": {_ANY: CODE},
    "trace": {_ANY: CODE},
    "bdb": {_ANY: CODE},
    "pdb": {_ANY: CODE},
    "doctest": {_ANY: CODE},
    "unittest": {_ANY: CODE},
    "idlelib": {_ANY: CODE},
    "lib2to3": {_ANY: CODE},
    "ensurepip": {_ANY: COMMAND},
    "venv": {_ANY: COMMAND},
    "distutils": {_ANY: COMMAND},
    "webbrowser": {_ANY: COMMAND},
    "antigravity": {_ANY: COMMAND},
    "pydoc": {_ANY: COMMAND},
    "_pyrepl": {_ANY: CODE},
    "_interpreters": {_ANY: CODE},
    "_xxsubinterpreters": {_ANY: CODE},
    "_aix_support": {_ANY: COMMAND},
    "_osx_support": {_ANY: COMMAND},
    "platform": {_ANY: COMMAND},
    "sysconfig": {_ANY: LEAK},
    "importlib": {_ANY: IMPORT},
    "imp": {_ANY: IMPORT},
    "_imp": {_ANY: IMPORT},
    "_frozen_importlib": {_ANY: IMPORT},
    "_frozen_importlib_external": {_ANY: IMPORT},
    "zipimport": {_ANY: IMPORT},
    "pkgutil": {_ANY: RESOLVE},
    "site": {_ANY: IMPORT},
    "operator": {_ANY: RESOLVE},
    "_operator": {_ANY: RESOLVE},
    "functools": {_ANY: RESOLVE},
    "_functools": {_ANY: RESOLVE},
    "inspect": {_ANY: RESOLVE},
    "gc": {_ANY: RESOLVE},
    "weakref": {_ANY: RESOLVE},
    "copyreg": {_ANY: LOADER},
    "sys": {_ANY: LOADER},
    "linecache": {_ANY: FILE},
    "shutil": {_ANY: FILE},
    "glob": {_ANY: FILE},
    "tempfile": {_ANY: FILE},
    "zipfile": {_ANY: FILE},
    "tarfile": {_ANY: FILE},
    "fileinput": {_ANY: FILE},
    "sqlite3": {_ANY: FILE},
    "dbm": {_ANY: FILE},
    "io": dict.fromkeys(("open", "open_code", "FileIO"), FILE),
    "_io": dict.fromkeys(("open", "open_code", "FileIO"), FILE),
    "codecs": dict.fromkeys(("open", "register", "EncodedFile"), FILE),
    "types": dict.fromkeys(
        ("FunctionType", "LambdaType", "CodeType", "MethodType", "ModuleType", "new_class", "BuiltinFunctionType"), MAKE
    ),
    "logging": {"config": CODE},
    "logging.config": {_ANY: CODE},
    "uuid": dict.fromkeys(("_popen", "_get_command_stdout", "getnode", "uuid1"), COMMAND),
    "pickle": {_ANY: UNPICKLE},
    "_pickle": {_ANY: UNPICKLE},
    "cPickle": {_ANY: UNPICKLE},
    "pickletools": {_ANY: UNPICKLE},
    "shelve": {_ANY: UNPICKLE},
    "marshal": {_ANY: UNPICKLE},
    "ctypes": {_ANY: NATIVE},
    "_ctypes": {_ANY: NATIVE},
    "mmap": {_ANY: NATIVE},
    "socket": {_ANY: NETWORK},
    "_socket": {_ANY: NETWORK},
    "ssl": {_ANY: NETWORK},
    "_ssl": {_ANY: NETWORK},
    "urllib": {_ANY: NETWORK},
    "urllib2": {_ANY: NETWORK},
    "http": {_ANY: NETWORK},
    "httplib": {_ANY: NETWORK},
    "ftplib": {_ANY: NETWORK},
    "imaplib": {_ANY: COMMAND},
    "poplib": {_ANY: NETWORK},
    "smtplib": {_ANY: NETWORK},
    "telnetlib": {_ANY: NETWORK},
    "nntplib": {_ANY: NETWORK},
    "xmlrpc": {_ANY: NETWORK},
    "socketserver": {_ANY: NETWORK},
    "asyncore": {_ANY: NETWORK},
    "smtpd": {_ANY: NETWORK},
}
_STDLIB["posix"] = _STDLIB["nt"] = _STDLIB["os"]
_STDLIB["__builtin__"] = _STDLIB["builtins"]

_LIBRARIES: dict[str, dict[str, str]] = {
    "pip": {_ANY: COMMAND},
    "test.support": {_ANY: CODE},
    "test.libregrtest": {_ANY: CODE},
    "setuptools": {_ANY: COMMAND},
    "_distutils_hack": {_ANY: IMPORT},
    "pkg_resources": {_ANY: IMPORT},
    "pytest": {_ANY: CODE},
    "_pytest": {_ANY: CODE},
    "nose": {_ANY: CODE},
    "IPython": {_ANY: CODE},
    "cffi": {_ANY: NATIVE},
    "pexpect": {_ANY: COMMAND},
    "sh": {_ANY: COMMAND},
    "plumbum": {_ANY: COMMAND},
    "fabric": {_ANY: COMMAND},
    "invoke": {_ANY: COMMAND},
    "paramiko": {_ANY: NETWORK},
    "psutil": {_ANY: PROCESS},
    "git": {_ANY: COMMAND},
    "requests": {_ANY: NETWORK},
    "urllib3": {_ANY: NETWORK},
    "httpx": {_ANY: NETWORK},
    "aiohttp": {_ANY: NETWORK},
    "huggingface_hub": {_ANY: NETWORK},
    "loky": {_ANY: CODE},
    "multiprocess": {_ANY: PROCESS},
    "fickling": {_ANY: LOADER},
    "picklescan": {_ANY: LOADER},
    "modelscan": {_ANY: LOADER},
    "modelaudit": {_ANY: LOADER},
    "hayward": {_ANY: LOADER},
    "safeload": {_ANY: LOADER},
    "dill": {_ANY: UNPICKLE},
    "dill._dill": {"_load_type": ""},  # looks up one of the interpreter's own types in a fixed table
    "cloudpickle": {_ANY: MAKE},
    "jsonpickle": {_ANY: UNPICKLE},
    "joblib": {"load": UNPICKLE},
    "joblib.externals": {_ANY: CODE},
    "joblib.numpy_pickle": dict.fromkeys(("load", "load_temporary_memmap", "_unpickle"), UNPICKLE),
    "numpy": {
        **dict.fromkeys(("load", "lookfor"), UNPICKLE),
        **dict.fromkeys(
            ("fromfile", "loadtxt", "genfromtxt", "memmap", "save", "savez", "savetxt", "DataSource"), FILE
        ),
        **dict.fromkeys(("vectorize", "apply_along_axis", "apply_over_axes", "fromfunction", "piecewise"), CODE),
    },
    "numpy.lib.npyio": {_ANY: UNPICKLE},
    "numpy.lib._npyio_impl": {_ANY: UNPICKLE},
    "numpy.lib.format": {_ANY: UNPICKLE},
    "numpy.f2py": {_ANY: CODE},
    "numpy.testing": {_ANY: CODE},
    "numpy.distutils": {_ANY: COMMAND},
    "numpy.ctypeslib": {_ANY: NATIVE},
    "numpy.core._internal": {_ANY: NATIVE},
    "numpy._core._internal": {_ANY: NATIVE},
    "torch": {
        **dict.fromkeys(("load", "save"), UNPICKLE),
        **dict.fromkeys(("compile", "_running_with_deploy"), CODE),
        **dict.fromkeys(("from_file",), FILE),
    },
    "torch.serialization": {**dict.fromkeys(("load", "_load", "_legacy_load", "add_safe_globals"), UNPICKLE)},
    "torch.storage": {"_load_from_bytes": UNPICKLE},
    "torch.hub": {_ANY: CODE},
    "torch.jit": {_ANY: CODE},
    "torch.package": {_ANY: CODE, "PackageImporter": CODE},
    "torch.package.package_importer": {"PackageImporter": CODE},
    "torch.export": {_ANY: UNPICKLE},
    "torch.fx": {_ANY: CODE},
    "torch._dynamo": {_ANY: CODE},
    "torch._inductor": {_ANY: CODE},
    "torch._functorch": {_ANY: CODE},
    "torch.ops": {_ANY: NATIVE},
    "torch._ops": {_ANY: NATIVE},
    "torch.classes": {_ANY: NATIVE},
    "torch.library": {_ANY: CODE},
    "torch.multiprocessing": {_ANY: PROCESS},
    "torch.testing": {_ANY: CODE},
    "torch.onnx": {_ANY: CODE},
    "torch.distributed": dict.fromkeys(("TCPStore", "FileStore"), NETWORK),
    "torch.distributed.rpc": {_ANY: NETWORK},
    "torch.distributed.elastic": {_ANY: COMMAND},
    "torch.cuda": {"CUDAPluggableAllocator": NATIVE},
    "torch.cuda.memory": {"CUDAPluggableAllocator": NATIVE},
    "torch._C": {**dict.fromkeys(("PyTorchFileReader", "PyTorchFileWriter"), FILE), "CompilationUnit": CODE},
    "torch._C._distributed_c10d": dict.fromkeys(("TCPStore", "FileStore"), NETWORK),
    "torch.utils.data.datapipes": {_ANY: CODE},
    "torch.utils.tensorboard": {_ANY: FILE},
    "torch.utils.bottleneck": {_ANY: CODE},
    "torch.utils.cpp_extension": {_ANY: NATIVE},
    "torch.utils.collect_env": {_ANY: COMMAND},
    "torch.utils.show_pickle": {_ANY: UNPICKLE},
    "torch.utils.model_dump": {_ANY: UNPICKLE},
    "torch.utils._config_module": {_ANY: LOADER},
    "transformers.commands": {_ANY: COMMAND},
    "transformers.testing_utils": {_ANY: COMMAND},
    "transformers.dynamic_module_utils": {_ANY: CODE},
    "transformers.utils.hub": {_ANY: NETWORK},
    "transformers.utils.import_utils": {_ANY: IMPORT},
    "pandas": {"read_pickle": UNPICKLE, "eval": CODE},
    "pandas.io.pickle": {_ANY: UNPICKLE},
    "pandas.core.computation": {_ANY: CODE},
    "sklearn.utils._testing": {_ANY: CODE},
    "sympy": {**dict.fromkeys(("sympify", "parse_expr", "lambdify"), CODE)},
    "sympy.parsing": {_ANY: CODE},
    "yaml": {**dict.fromkeys(("load", "unsafe_load", "full_load", "load_all"), UNPICKLE)},
    "jinja2": {_ANY: CODE},
    "mako": {_ANY: CODE},
    "hydra.utils": {_ANY: RESOLVE},
    "hydra._internal": {_ANY: RESOLVE},
    "werkzeug": {_ANY: IMPORT},
    "gevent": {_ANY: COMMAND},
    "kernels": {_ANY: NATIVE},
    "triton": {_ANY: CODE},
    "llvmlite": {_ANY: NATIVE},
    "Cython": {_ANY: CODE},
    "pyximport": {_ANY: IMPORT},
    "win32api": {_ANY: COMMAND},
    "win32com": {_ANY: COMMAND},
}

KNOWN: Mapping[str, Mapping[str, str]] = MappingProxyType({**_STDLIB, **_LIBRARIES})
"""By module, then by name; `*` stands for every other name of the module and of the modules below it."""

ALIASES = frozenset(
    (
        *("os", "sys", "subprocess", "posix", "nt", "pty", "shutil", "socket", "ctypes", "importlib", "runpy"),
        *("builtins", "pickle", "marshal", "operator", "system", "popen", "Popen", "check_output", "check_call"),
        *("getoutput", "getstatusoutput", "exec", "eval", "execfile", "execWrapper", "runstring", "getattr"),
        *("setattr", "attrgetter", "methodcaller", "partial", "import_module", "load_module", "resolve_name"),
        *("run_path", "run_module", "urlopen", "urlretrieve", "CDLL", "FunctionType", "CodeType", "LambdaType"),
        "load_library",
    )
)
"""Names that mean the same wherever they are imported from: modules re-export what they import."""

_ELSEWHERE = frozenset(
    (
        *("__builtin__", "__hello__", "__phello__", "_android_support", "_apple_support", "_dummy_thread"),
        *("_interpqueues", "_interpreters", "_ios_support", "_pyrepl", "_testbuffer", "_testcapi"),
        *("_testinternalcapi", "_testlimitedcapi", "_testmultiphase", "_xxinterpchannels", "_xxsubinterpreters"),
        *("annotationlib", "asynchat", "asyncore", "audioop", "binhex", "cPickle", "cStringIO", "cgi", "cgitb"),
        *("commands", "compression", "copy_reg", "crypt", "distutils", "dummy_threading", "exceptions", "httplib"),
        *("imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "nt", "ossaudiodev", "pipes", "popen2"),
        *("posixfile", "rexec", "sitecustomize", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "urllib2"),
        *("urlparse", "usercustomize", "uu", "xdrlib"),
    )
)
"""Modules of other Python versions than the one that runs: what a file means does not depend on us. Names that user
code commonly has (`parser`, `user`, `test`) are not here."""

STDLIB = frozenset(sys.stdlib_module_names) | _ELSEWHERE


def is_stdlib(module: str) -> bool:
    """Whether a module belongs to the standard library of any Python."""
    return module.partition(".")[0] in STDLIB


def ability(name: GlobalName) -> str | None:
    """What a callable is known to be able to do; `None` for one that the catalogue does not know."""
    module = name.module
    exact = KNOWN.get(module)
    if exact is not None and name.name in exact:
        return exact[name.name]
    while module:
        names = KNOWN.get(module)
        if names is not None and _ANY in names:
            return names[_ANY]
        module = module.rpartition(".")[0]
    return None


def whatever_it_is(name: GlobalName) -> bool:
    """Whether the catalogue has this very name or the whole package, so that being a class is no excuse."""
    exact = KNOWN.get(name.module, {}).get(name.name)
    return bool(exact) if exact is not None else _ANY in KNOWN.get(name.module.partition(".")[0], {})
