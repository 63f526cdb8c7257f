"""Callables that public advisories and papers used against loaders and scanners (facts: names only).

Sources: the advisories of picklescan, fickling and torch named in the tests, and the documentation of the libraries.
None is called here: each becomes a name in a stream that is read and judged.
"""

from __future__ import annotations

# class 1: on no denylist when they were published (GHSA-655q-fx9r-782v, GHSA-v7x6-rv5q-mhwc and their like)
UNLISTED = """
pip.main pip._internal.main ensurepip._run_pip timeit.timeit timeit.main cProfile.run cProfile.runctx profile.run
profile.Profile trace.Trace bdb.Bdb pdb.run pdb.runeval code.interact code.InteractiveInterpreter doctest.debug_script
idlelib.pyshell.ModifiedInterpreter idlelib.run.Executive idlelib.autocomplete.AutoComplete pydoc.locate
pydoc.pipepager lib2to3.pgen2.grammar.Grammar uuid._get_command_stdout _osx_support._read_output
_aix_support._read_cmd_output imaplib.IMAP4_stream test.support.script_helper.assert_python_ok
asyncio.unix_events._UnixSubprocessTransport ctypes.CDLL ctypes.WinDLL distutils.file_util.write_file
multiprocessing.util.spawnv_passfds numpy.f2py.crackfortran.getlincoef numpy.testing._private.utils.runstring
torch.utils.bottleneck.__main__.run_cprofile torch.jit.unsupported_tensor_ops.execWrapper
torch._inductor.codecache.compile_file torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
torch._dynamo.guards.GuardBuilder.get ssl.get_server_certificate pty.spawn runpy.run_path runpy._run_code
marshal.loads types.FunctionType types.CodeType _interpreters.exec builtins.__import__ builtins.eval builtins.exec
builtins.compile builtins.open builtins.input builtins.breakpoint os.system os.popen os.execv os.spawnl os.remove
posix.system nt.system subprocess.Popen subprocess.check_output subprocess.getoutput commands.getoutput popen2.popen3
socket.create_connection urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPSConnection ftplib.FTP
smtplib.SMTP telnetlib.Telnet webbrowser.open shutil.rmtree shutil.copyfile tempfile.mktemp zipfile.ZipFile
tarfile.open sqlite3.connect logging.config.listen logging.FileHandler codecs.open io.open _io.FileIO fileinput.input
linecache.getline glob.glob os.listdir sys.settrace sys.setprofile sys.modules gc.get_objects signal.signal
atexit.register threading.Thread _thread.start_new_thread multiprocessing.Process sched.scheduler venv.create
site.main zipimport.zipimporter imp.load_source importlib.import_module importlib.machinery.SourceFileLoader
cloudpickle.cloudpickle.subimport cloudpickle.cloudpickle._make_function dill.loads dill._dill._create_function
dill._dill._import_module joblib.load joblib.numpy_pickle.load pandas.read_pickle pandas.eval torch.load
torch.hub.load torch.jit.load torch.package.PackageImporter torch.ops.load_library torch.storage._load_from_bytes
torch.serialization.load torch.utils.cpp_extension.load numpy.load numpy.memmap numpy.fromfile numpy.vectorize
jsonpickle.decode yaml.unsafe_load sympy.sympify requests.get pexpect.run cffi.FFI
setuptools._distutils.spawn.spawn pkg_resources.EntryPoint keras.models.load_model tensorflow.io.read_file
"""

# class 2: attribute traversal and indirection (GHSA-vvpj-8cmc-gx39, GHSA-5j3x)
INDIRECT = """
pkgutil.resolve_name operator.methodcaller operator.attrgetter operator.itemgetter _operator.attrgetter
functools.partial functools.reduce builtins.getattr builtins.setattr builtins.map builtins.filter builtins.apply
inspect.getattr_static weakref.finalize types.MethodType copyreg.add_extension importlib.util.find_spec
"""

DOTTED = (
    ("pathlib", "os.system"),
    ("logging", "os.popen"),
    ("numpy", "size.__builtins__"),
    ("torch", "serialization.os.system"),
    ("collections", "OrderedDict.__reduce__"),
    ("nobody.knows", "os.system"),
    ("nobody.knows", "helper.call"),
)

# class 5: what switches the check off
LOADERS = "fickling.hook.remove_hook safeload.engine.seatbelt.off hayward.guard.disable picklescan.scanner.main"

# class 20: denied objects that other modules carry along
ALIASED = (
    ("logging", "os"),
    ("torch.serialization", "os"),
    ("nobody.knows", "system"),
    ("nobody.knows", "exec"),
    ("torch.library", "getattr"),
    ("nobody.knows", "__builtins__"),
)


def pairs(names: str) -> list[tuple[str, str]]:
    found = []
    for name in names.split():
        module, _, last = name.rpartition(".")
        found.append((module, last))
    return found
