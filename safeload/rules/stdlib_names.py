"""Modules of the standard library of any Python that may load a file: what a file means does not depend on ours.

The names are `sys.stdlib_module_names` of Python 3.11 to 3.14 with the modules that other versions have, hide, or had
once, back to Python 2.7. A test compares them with the interpreter that runs it. Names of Python 2 that people often
give to modules of their own (`parser`, `user`, `new`, `repr`, `test`) are not here: a call of a function by such a name
is dangerous in any case, and a class of theirs is unverified.
"""

from __future__ import annotations

_PYTHON_3_11 = """
__future__ _abc _aix_support _ast _asyncio _bisect _blake2 _bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk
_codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc _compat_pickle _compression
_contextvars _crypt _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _elementtree _frozen_importlib
_frozen_importlib_external _functools _gdbm _hashlib _heapq _imp _io _json _locale _lsprof _lzma _markupbase _md5
_msi _multibytecodec _multiprocessing _opcode _operator _osx_support _overlapped _pickle _posixshmem
_posixsubprocess _py_abc _pydecimal _pyio _queue _random _scproxy _sha1 _sha256 _sha3 _sha512 _signal _sitebuiltins
_socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _symtable _thread _threading_local _tkinter
_tokenize _tracemalloc _typing _uuid _warnings _weakref _weakrefset _winapi _zoneinfo abc aifc antigravity argparse
array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins bz2 cProfile calendar cgi
cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib
contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest
email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp
importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal
math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode
operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix
posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline
reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib
sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep
struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this
threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing
unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc
zipapp zipfile zipimport zlib zoneinfo
"""

_NEWER_OR_HIDDEN = """
__hello__ __hello_only__ __phello__ __phello_alias__ _android_support _apple_support _ast_unparse _colorize
_ctypes_test _hmac _interpchannels _interpqueues _interpreters _ios_support _math_integer _missing_stdlib_info
_opcode_metadata _py_warnings _pydatetime _pylong _pyrepl _remote_debugging _sha2 _suggestions _sysconfig
_sysconfigdata _testbuffer _testcapi _testclinic _testclinic_limited _testconsole _testexternalinspection
_testimportmultiple _testinternalcapi _testlimitedcapi _testmultiphase _testsinglephase _types _xxinterpchannels
_xxsubinterpreters _xxtestfuzz _zstd annotationlib compression idlelib profiling sitecustomize usercustomize
xxlimited xxlimited_35 xxsubtype
"""

_OLDER = """
_bootlocale _collections_abc _dummy_thread _dummy_threading _tkinter_finder binhex distutils dummy_threading
formatter macpath macurl2path plistlib
"""

_PYTHON_2 = """
BaseHTTPServer Bastion CGIHTTPServer ConfigParser Cookie Dialog DocXMLRPCServer FileDialog HTMLParser MimeWriter
Queue ScrolledText SimpleDialog SimpleHTTPServer SimpleXMLRPCServer SocketServer StringIO Tix Tkconstants Tkdnd
Tkinter UserDict UserList UserString __builtin__ _abcoll _bsddb _hotshot _winreg anydbm bsddb cPickle cStringIO
commands compiler cookielib copy_reg dbhash dircache dumbdbm dummy_thread exceptions fpformat future_builtins gdbm
hotshot htmlentitydefs htmllib httplib ihooks imputil linuxaudiodev markupbase md5 mhlib mimetools mimify multifile
mutex os2emxpath popen2 posixfile rexec rfc822 robotparser sgmllib sha sre statvfs stringold strop sunaudio thread
tkColorChooser tkCommonDialog tkFileDialog tkFont tkMessageBox tkSimpleDialog toaiff ttk urllib2 urlparse whichdb
xmllib xmlrpclib
"""

STDLIB = frozenset((_PYTHON_3_11 + _NEWER_OR_HIDDEN + _OLDER + _PYTHON_2).split())
