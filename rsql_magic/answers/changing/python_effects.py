"""What Python code would do beyond computing, read off its tree."""

# Three things decide. Where a name comes from: modules that only compute are listed, those that do other things stand
# with what they do, and all others cannot be told. What a method is called: ``to_csv`` writes on whatever object. And
# whether the code can be read at all: names put together when it runs, ``exec`` and the inside of objects cannot.
# A name counts where it is mentioned, not only where it is called: ``map(os.remove, paths)`` calls it, too.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import builtins
import re
from typing import TYPE_CHECKING

from rsql_magic.answers.changing.effects import (
    Effect,
    SessionName,
    of_cell_magic,
    of_command,
    of_line_magic,
    sql_effects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rsql_magic.answers.changing.effects import Kind, SessionNames

# Modules that compute and draw. What writes among their functions is known by its name (`_WRITES`).
_COMPUTES = frozenset(
    """
    __future__ abc array bisect calendar cmath collections colorsys copy dataclasses datetime decimal difflib enum
    fractions functools graphlib hashlib heapq itertools json keyword locale math numbers operator pprint random re
    secrets statistics string struct textwrap time typing typing_extensions unicodedata uuid warnings zoneinfo
    contextlib traceback html binascii base64 csv zlib io types weakref queue
    numpy pandas polars pyarrow scipy sklearn statsmodels matplotlib seaborn plotly altair bokeh patsy sympy networkx
    numba xgboost lightgbm catboost shap umap tqdm tabulate great_tables plotnine geopandas shapely dateutil pytz
    narwhals lifelines arch pingouin linearmodels ipywidgets duckdb sqlite3 sqlalchemy sqlglot
    """.split()
)
# What of the rest of Python's modules does not only compute, by the longest name that fits.
_DOES: dict[str, Kind] = {
    **dict.fromkeys(
        "subprocess pty pexpect sh invoke fabric plumbum commands multiprocessing concurrent.futures.process "
        "webbrowser ensurepip venv".split(),
        "shell",
    ),
    **dict.fromkeys(
        "requests urllib httpx aiohttp http.client http.server socket socketserver ssl ftplib smtplib imaplib poplib "
        "telnetlib nntplib xmlrpc urllib3 websockets websocket paramiko boto3 botocore s3fs gcsfs fsspec google azure "
        "rsql_magic openai anthropic mistralai litellm huggingface_hub datasets transformers kaggle "
        "yfinance pandas_datareader tweepy praw selenium playwright scrapy redis pymongo kafka paho zmq asyncssh "
        "grpc psycopg psycopg2 pymysql mysql asyncpg clickhouse_connect snowflake".split(),
        "network",
    ),
    **dict.fromkeys("pip conda setuptools distutils micropip piplite".split(), "install"),
    **dict.fromkeys(
        "shutil tempfile zipfile tarfile gzip bz2 lzma shelve dbm pickle joblib dill cloudpickle".split(), "files"
    ),
    **dict.fromkeys("h5py tables netCDF4 openpyxl xlsxwriter docx reportlab logging fileinput mmap".split(), "files"),
}
# Functions of modules that do several things: those that only look.
_LOOKS = frozenset(
    """
    os.path os.getcwd os.listdir os.scandir os.walk os.stat os.sep os.linesep os.curdir os.environ.get os.getenv
    os.cpu_count os.getpid os.name os.fspath os.access os.fsencode os.fsdecode os.PathLike os.extsep os.pathsep
    sys.version sys.version_info sys.path sys.platform sys.maxsize sys.getsizeof sys.executable sys.float_info sys.argv
    sys.stdout sys.stderr sys.byteorder sys.getrecursionlimit sys.implementation
    glob.glob glob.iglob glob.escape pathlib.Path pathlib.PurePath pathlib.PosixPath pathlib.PurePosixPath
    platform.system platform.python_version platform.machine platform.release platform.platform
    pickle.loads pickle.dumps gzip.compress gzip.decompress lzma.compress lzma.decompress bz2.compress bz2.decompress
    urllib.parse shutil.which shutil.disk_usage shutil.get_terminal_size tempfile.gettempdir
    concurrent.futures.ThreadPoolExecutor concurrent.futures.as_completed concurrent.futures.wait
    multiprocessing.cpu_count getpass.getuser fnmatch inspect.signature inspect.getdoc inspect.getsource gc.collect
    logging.getLogger logging.basicConfig logging.info logging.warning logging.error logging.debug logging.INFO
    logging.DEBUG logging.WARNING logging.ERROR importlib.metadata.version importlib.metadata importlib.util.find_spec
    psutil.virtual_memory psutil.cpu_count psutil.cpu_percent IPython.display IPython.get_ipython IPython.core.display
    """.split()
)
_PICKLE = frozenset({"pickle.loads", "pickle.load", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load"})
_OF_OS: dict[str, Kind] = {
    **dict.fromkeys(
        "system popen popen2 popen3 spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe posix_spawn "
        "posix_spawnp execl execle execlp execlpe execv execve execvp execvpe fork forkpty kill killpg startfile "
        "abort _exit".split(),
        "shell",
    ),
    **dict.fromkeys(
        "remove unlink rmdir removedirs mkdir makedirs rename renames replace link symlink chmod chown lchown truncate "
        "ftruncate write open fdopen mkfifo mknod utime putenv chflags pwrite sendfile copy_file_range setxattr "
        "removexattr".split(),
        "files",
    ),
}
# What a method or function of this name does, whatever it belongs to.
_WRITES = re.compile(
    r"""(?x)^(?:
    to_(?:csv|excel|parquet|feather|hdf|hdf5|json_file|pickle|stata|xml|orc|gbq|clipboard|file|image|disk|delta|iceberg
      |sas|spss|netcdf|zarr|geojson|shp|avro|ipc|arrow|sql)
    | write(?:_\w+|lines|r|row|rows)? | sink_\w+ | save\w* | dump | dump_\w+ | export\w* | touch | unlink | rmdir
    | mkdir | makedirs | symlink_to | hardlink_to | link_to | chmod | lchmod | rename | rmtree | copyfile | copytree
    | copy2 | copyfileobj | move | make_archive | unpack_archive | extractall | extract_all | savefig | savetxt | savez
    | savez_compressed | savemat | imsave | imwrite | tofile | write_text | write_bytes | persist_to_disk | serialize
    | copy_into | copy_to | backup | truncate | storage_options | ExcelWriter | HDFStore | memmap | open_memmap
    | FileIO | RotatingFileHandler | FileHandler | create_csv | start_recording
    )$"""
)
# Of those, what computes on frames and texts by the same name, where its arguments say so.
_BOTH = frozenset({"rename", "move", "write", "serialize", "truncate", "dump", "touch", "export", "save"})
_SQL_METHODS = frozenset(
    """
    execute executemany executescript sql query eval read_sql read_sql_query read_database read_database_uri from_query
    exec_driver_sql run_query
    """.split()
)
_CHANGES_SQL = frozenset("to_sql create_all drop_all copy_expert copy_from load_extension commit insert_into".split())
_REACHES = frozenset(
    """
    urlopen urlretrieve create_connection sendmail send_message read_html scan_delta connect_ex sendall
    read_gbq load_dataset fetch_openml fetch_california_housing hf_hub_download from_pretrained load_remote
    get_dataset get_rdataset
    """.split()
)
_RUNS = frozenset(
    "Popen check_output check_call getoutput getstatusoutput create_subprocess_exec create_subprocess_shell".split()
)
# Readers that take an address as well as a path.
_READERS = re.compile(r"^(?:read|scan)_\w+$|^(?:imread|loadtxt|genfromtxt|get_file|from_csv|from_parquet)$")
_ADDRESS = re.compile(r"^\s*(?!(?:sqlite|duckdb|file):)[a-z][a-z0-9+.-]*://", re.I)
_DUNDER = re.compile(r"__\w+__")
_FORMULA = re.compile(r"~.*\(|\(.*~", re.DOTALL)
# Attributes between two underscores that only tell.
_TELLS = frozenset(
    """
    __name__ __doc__ __version__ __class__ __len__ __file__ __main__ __init__ __repr__ __str__ __iter__ __next__
    __enter__ __exit__ __getitem__ __setitem__ __eq__ __lt__ __hash__ __add__ __mul__ __sub__ __call__ __post_init__
    __annotations__ __members__
    """.split()
)
# What reads a file and runs what stands in it.
_LOADS_CODE = frozenset(
    """
    read_pickle f2py unpickle load_module exec_module run_path run_module FunctionType CodeType get_type_hints sympify
    parse_expr lambdify system getoutput run_cell run_cell_async run_line_magic run_cell_magic run_code safe_execfile
    ctypeslib attrgetter_of modules meta_path path_hooks settrace setprofile
    """.split()
)
_HARMLESS = frozenset(dir(builtins)) - frozenset(
    "open exec eval compile __import__ getattr setattr delattr globals locals vars breakpoint input exit quit "
    "__build_class__ __loader__ __spec__ __builtins__ memoryview".split()
)
# Builtins by which code reaches what does not stand in it, and those that their arguments decide.
_HIDES = frozenset(
    "exec eval compile globals locals vars breakpoint exit quit __builtins__ __loader__ __spec__".split()
)
_BY_ARGUMENTS = frozenset("open getattr setattr delattr __import__ get_ipython".split())
# Modules that are no part of others: who asks for them as such takes a way around.
_REACHING = frozenset("os sys subprocess socket builtins shutil importlib requests urllib ctypes".split())
_BINDS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_IPYTHON = frozenset({"display", "HTML", "Markdown", "In", "Out", "_", "__", "___", "Image", "Math", "Latex", "JSON"})
_PAGES = frozenset({"Javascript", "IFrame", "display_javascript", "display_html", "HTML", "VimeoVideo", "YouTubeVideo"})


def python_effects(source: str, names: SessionNames) -> Iterator[Effect]:
    """What a cell of Python would do; magics and ``!`` as IPython reads them."""
    from IPython.core.inputtransformer2 import TransformerManager

    if not source.strip():
        return
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield Effect("unknown", "it does not parse")
        return
    try:
        yield from _PythonCell(tree, names).effects()
    except RecursionError:
        yield Effect("unknown", "it is nested too deeply")


class _PythonCell:
    def __init__(self, tree: ast.Module, names: SessionNames, *, is_condition: bool = False) -> None:
        self._tree, self._names, self._is_condition = tree, names, is_condition
        self._modules: dict[str, str] = {}  # names of the cell that stand for something of a module
        self._own: set[str] = set()  # names that the cell gives a value
        self._session: Mapping[str, SessionName] = names.python
        self._called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        self._inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        self._called_names = {_last(func) for func in calls}

    def effects(self) -> Iterator[Effect]:
        nodes = list(ast.walk(self._tree))
        for node in nodes:
            yield from self._bind(node)
        for node in nodes:
            if isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._name(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._constant(node.value)

    # Names: what they stand for.

    def _bind(self, node: ast.AST) -> Iterator[Effect]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._modules[alias.asname or top] = alias.name if alias.asname else top
                yield from self._imported(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                self._modules[alias.asname or alias.name] = f"{module}.{alias.name}"
                yield from self._imported(module)
                if alias.name != "*":  # also where it is used by the name of a class around it
                    yield from self._of_module(f"{module}.{alias.name}", alias.name, is_whole=False)
                elif module.split(".")[0] not in _COMPUTES:
                    yield Effect("unknown", f"from {module} import *")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            self._own.add(node.id)
        elif isinstance(node, ast.arg):
            self._own.add(node.arg)
        elif isinstance(node, _BINDS) and node.name:
            self._own.add(node.name)

    def _imported(self, module: str) -> Iterator[Effect]:
        top = module.partition(".")[0]
        if top in _COMPUTES or _kind_of(module) or _is_known(top):
            return
        yield Effect("unknown", f"import {module}")

    # A module that is named by a text, under which it gets a name that is not followed.
    def _named_module(self, module: str | None, shown: str) -> Iterator[Effect]:
        if module is None or module.partition(".")[0] not in _COMPUTES:
            yield Effect((module and _kind_of(module)) or "unknown", shown)

    def _dotted(self, node: ast.expr) -> str:
        """The whole name of what an expression mentions, such as ``os.path.join``; empty where it is no module's."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Call) and self._is(node.func, "__import__", "import_module") and node.args:
            named = _text(node.args[0])
            return ".".join([named, *reversed(parts)]) if named else ""
        if not isinstance(node, ast.Name):
            return ""
        base = self._modules.get(node.id)
        if base is None and node.id not in self._own and (held := self._session.get(node.id)) and not held.is_object:
            base = held.module
        return ".".join([base, *reversed(parts)]) if base else ""

    def _is(self, node: ast.expr, *names: str) -> bool:
        return _last(node) in names

    # Mentions.

    def _name(self, node: ast.Name) -> Iterator[Effect]:
        name, held = node.id, self._session.get(node.id)
        if name in self._modules:
            if id(node) not in self._inner:  # `run(…)` after `from subprocess import run`, or the module itself
                yield from self._of_module(self._modules[name], name, is_whole=id(node) not in self._called)
                yield from self._named(self._modules[name].rpartition(".")[2], name)
        elif name in self._own:
            return
        elif name in _HIDES or (name in _BY_ARGUMENTS and id(node) not in self._called):
            yield Effect("unknown", name)  # handed on, its arguments are not seen
        elif name in _HARMLESS or name in _BY_ARGUMENTS or name in _IPYTHON:
            return
        elif held is not None:
            yield from self._of_session(node, held)
        elif not self._is_condition and id(node) in self._called | self._inner:  # in a condition it is a column
            yield Effect("unknown", f"{name}, which is not known here")

    def _of_session(self, node: ast.Name, held: SessionName) -> Iterator[Effect]:
        name, top = node.id, held.module.partition(".")[0]
        if held.is_object:
            if not _is_data(held.module):
                yield Effect("unknown", f"{name}, an object of {held.module}")
        elif top == "__main__":
            yield Effect("unknown", f"{name}, code of the notebook")
        elif id(node) not in self._inner:
            yield from self._of_module(held.module, name, is_whole=id(node) not in self._called)

    def _of_module(self, dotted: str, shown: str, *, is_whole: bool) -> Iterator[Effect]:
        top, _, rest = dotted.partition(".")
        if dotted in _PICKLE:
            yield Effect("unknown", shown)
        elif _in(dotted, _LOOKS):
            return
        elif top in {"os", "posix", "nt"}:
            first = rest.partition(".")[0]
            if kind := _OF_OS.get(first):
                yield Effect(kind, shown)
            elif not (is_whole and not rest):
                yield Effect("unknown", shown)
        elif kind := _kind_of(dotted):
            yield Effect(kind, shown)
        elif top == "builtins":
            return
        elif top not in _COMPUTES and not (_is_known(top) and not rest):
            yield Effect("unknown", shown)
        elif is_whole and not rest and top not in _COMPUTES:
            yield Effect("unknown", f"{shown}, handed on as a whole")

    def _attribute(self, node: ast.Attribute) -> Iterator[Effect]:
        attr, shown = node.attr, _shown(node)
        if attr.startswith("__") and attr not in _TELLS:
            yield Effect("unknown", shown)
        if id(node) in self._inner and self._dotted(node):  # a part of a longer name, which is judged as a whole
            return
        dotted = self._dotted(node)
        if dotted and not dotted.startswith("__main__"):
            found = list(self._of_module(dotted, shown, is_whole=False))
            yield from found
            if any(effect.kind != "unknown" for effect in found):
                return
            parts = dotted.split(".")
            if _LOADS_CODE & set(parts[1:-1]):
                yield Effect("unknown", shown)
            if _REACHING & set(parts[1:]):
                yield Effect("unknown", shown)
        elif attr in _REACHING:  # of an object or a class
            yield Effect("unknown", shown)
        if not (isinstance(node.value, ast.Call) and self._is(node.value.func, "get_ipython")):  # `_shell` reads those
            yield from self._method(node, attr, shown)
        elif id(node) not in self._called:
            yield Effect("unknown", shown)

    # What a method's name says, whatever it is a method of.
    def _method(self, node: ast.Attribute, attr: str, shown: str) -> Iterator[Effect]:
        called = id(node) in self._called
        if not isinstance(node.ctx, ast.Load):
            return
        if attr in _BOTH:
            if not called and attr in {"dump", "touch"}:
                yield Effect("files", shown)
        elif attr in {"execute", "executemany", "executescript"}:
            if not called:
                yield Effect("unknown", shown)
        else:
            yield from self._named(attr, shown)

    def _named(self, name: str, shown: str) -> Iterator[Effect]:
        kinds: tuple[tuple[bool, Kind], ...] = (
            (name in _CHANGES_SQL, "sql"),
            (name in _RUNS, "shell"),
            (name in _REACHES or name in _PAGES, "network"),
            (name in _LOADS_CODE, "unknown"),
            (name not in _BOTH and bool(_WRITES.match(name)), "files"),
        )
        yield from (Effect(kind, shown) for is_it, kind in kinds if is_it)

    # Calls: what the arguments decide.

    def _call(self, call: ast.Call) -> Iterator[Effect]:
        func = call.func
        name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
        is_own = isinstance(func, ast.Name) and (name in self._own or name in self._modules)
        if isinstance(func, ast.Subscript | ast.Call) and not _is_decorated(func):
            yield Effect("unknown", f"{_shown(func)}(…)")
        elif isinstance(func, ast.Name) and not is_own:
            yield from self._builtin(call, name)
        if isinstance(func, ast.Attribute):
            yield from self._called_method(call, func, name)
        if name in _SQL_METHODS and (isinstance(func, ast.Attribute) or name != "eval"):
            yield from self._sql(call, func)
        if any(each.arg == "n_jobs" and ast.unparse(each.value) not in {"1", "None"} for each in call.keywords):
            yield Effect("shell", f"{_shown(func)}(…, n_jobs), which starts processes")
        if any(each.arg == "allow_pickle" for each in call.keywords):
            yield Effect("unknown", f"{_shown(func)}(…, allow_pickle)")
        if name in {"read_csv", "read_json", "read_parquet"} or _READERS.match(name):
            yield from self._reader(call, name)
        if name in _PAGES:
            yield (
                Effect("network", f"{name}(…), which the page runs") if name != "HTML" else Effect("unknown", "HTML(…)")
            )

    def _builtin(self, call: ast.Call, name: str) -> Iterator[Effect]:
        if name == "open" and not _reads(call, 1):
            yield Effect("files", _shown(call))
        elif name in {"getattr", "setattr", "delattr"}:
            attr = _text(call.args[1]) if len(call.args) > 1 else None
            if attr is None or (attr.startswith("__") and attr not in _TELLS):
                yield Effect("unknown", _shown(call))
            else:
                base = call.args[0]
                made = ast.copy_location(ast.Attribute(base, attr, ast.Load()), call)
                self._called.add(id(made))
                yield from self._attribute(made)
                if attr in _BOTH and not isinstance(base, ast.Constant):
                    yield Effect("files", _shown(call))
        elif name == "__import__":
            named = _text(call.args[0]) if call.args else None
            yield from self._named_module(named, _shown(call))

    def _called_method(self, call: ast.Call, func: ast.Attribute, name: str) -> Iterator[Effect]:
        shown, dotted = _shown(func), self._dotted(func)
        if isinstance(func.value, ast.Call) and self._is(func.value.func, "get_ipython"):
            yield from self._shell(call, name)
        elif name == "import_module" and dotted.startswith("importlib"):
            named = _text(call.args[0]) if call.args else None
            yield from self._named_module(named, _shown(call))
        elif name == "connect" and call.args and not dotted.startswith(("duckdb.", "sqlite3.")):
            if not (isinstance(func.value, ast.Name) and func.value.id in self._own):
                yield Effect("network", shown)
        elif self._writes(call, func, name, dotted):
            yield Effect("files", shown)

    # Whether a method writes whose name alone does not tell.
    def _writes(self, call: ast.Call, func: ast.Attribute, name: str, dotted: str) -> bool:
        if name == "open":  # `path.open()`, `io.open(path)`, `gzip.open(path)`
            place = 1 if dotted.startswith(("io.", "gzip.", "bz2.", "lzma.", "codecs.", "builtins.")) else 0
            return not _reads(call, place) and not dotted.startswith(("os.", "webbrowser."))
        if name in {"to_json", "to_html", "to_latex", "to_markdown", "to_string"}:
            return _takes_path(call)
        if name == "replace" and not dotted and len(call.args) == 1 and not call.keywords:
            return self._may_be_path(func.value)  # `Path(…).replace(target)`; of texts and frames it takes two
        return name in _BOTH and self._both_writes(call, func, name, dotted)

    # Whether what is called like a method of frames and texts is the one that writes.
    def _both_writes(self, call: ast.Call, func: ast.Attribute, name: str, dotted: str) -> bool:
        words = {each.arg for each in call.keywords}
        if name == "rename":
            frames = words & {"columns", "index", "axis", "inplace", "mapper", "level", "copy"}
            mapped = bool(call.args) and isinstance(call.args[0], ast.Dict | ast.Lambda | ast.Name)
            return not (frames or mapped) and (bool(dotted) or self._may_be_path(func.value) or not _text_arg(call))
        if name == "truncate":
            return not words & {"before", "after", "axis"}
        if name == "move":
            return bool(dotted)
        return name != "serialize" or bool(dotted)

    # Where paths are made in the cell, anything may be one.
    def _may_be_path(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        held = self._session.get(node.id) if isinstance(node, ast.Name) else None
        makes = any(module.startswith(("pathlib", "os")) for module in self._modules.values()) or (
            "Path" in self._called_names and "Path" in self._session
        )
        return _is_path(node) or makes or bool(held and held.module.startswith("pathlib"))

    def _shell(self, call: ast.Call, name: str) -> Iterator[Effect]:
        texts = [_text(arg) for arg in call.args]
        if name in {"system", "getoutput", "getoutput_split", "system_raw", "system_piped"}:
            yield from of_command(texts[0] or "…" if texts else "…")
        elif name == "run_line_magic" and len(texts) >= 2 and texts[0] is not None and texts[1] is not None:
            yield from of_line_magic(texts[0], texts[1], self._names)
        elif name == "run_cell_magic" and len(texts) >= 3 and None not in texts[:3]:
            yield from of_cell_magic(str(texts[0]), str(texts[1]), str(texts[2]), self._names)
        else:
            yield Effect("unknown", _shown(call.func))

    def _sql(self, call: ast.Call, func: ast.expr) -> Iterator[Effect]:
        words = {"sql", "query", "statement", "expr"}
        given = [*call.args, *(each.value for each in call.keywords if each.arg in words)]
        if not given:
            return
        text = _sql_text(given[0])
        if text is None:
            yield Effect("unknown", f"{_shown(func)}(…), whose text is put together when it runs")
        elif _last(func) == "eval" or (_last(func) == "query" and self._is_frame(func)):
            yield from self._condition(text)
        else:
            yield from sql_effects(text, self._names.dialect)

    # The condition of `df.query`, which is nearly Python: `@name` is a variable, and its methods can be called.
    def _condition(self, text: str) -> Iterator[Effect]:
        code = re.sub(r"`[^`]*`", "_", text.replace("@", " "))
        try:
            tree = ast.parse("\n".join(line.strip() for line in code.splitlines()))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            yield Effect("unknown", f"the condition {text!r}")
            return
        yield from _PythonCell(tree, self._names, is_condition=True).effects()

    # Whether a method belongs to a frame: what it is called on is one of the session, or unknown and no connection.
    def _is_frame(self, func: ast.expr) -> bool:
        base = func
        while isinstance(base, ast.Attribute | ast.Subscript | ast.Call):
            base = base.func if isinstance(base, ast.Call) else base.value
        if not isinstance(base, ast.Name) or base.id in self._modules:
            return False
        held = self._session.get(base.id)
        if base.id in self._own or held is None:
            return True
        return held.is_object and held.module.partition(".")[0] in {"pandas", "polars", "geopandas"}

    def _reader(self, call: ast.Call, name: str) -> Iterator[Effect]:
        given = call.args[0] if call.args else next((each.value for each in call.keywords), None)
        if given is None or isinstance(given, ast.Constant) or _is_path(given):
            return  # an address among constants is found as such
        if isinstance(given, ast.Name | ast.Attribute | ast.Subscript):
            return
        if not isinstance(given, ast.JoinedStr | ast.BinOp | ast.Call) or name in {
            "read_sql",
            "read_sql_query",
            "read_database",
        }:
            return
        first = given.values[0] if isinstance(given, ast.JoinedStr) and given.values else given
        if isinstance(given, ast.BinOp) or (isinstance(first, ast.FormattedValue)):
            yield Effect("unknown", f"{name}(…), a path or an address that is put together when it runs")

    # A text: an address, a name that something may look up, a formula, whose terms are Python.
    def _constant(self, text: str) -> Iterator[Effect]:
        if _ADDRESS.match(text):
            yield Effect("network", text)
        elif set(_DUNDER.findall(text)) - _TELLS:
            yield Effect("unknown", text)
        elif text.isidentifier() and _WRITES.match(text) and text.startswith(("to_", "write_", "savefig")):
            yield Effect("files", text)
        elif _FORMULA.search(text):
            yield from self._condition(text.replace("~", ",").strip(", \n"))


def _in(dotted: str, names: frozenset[str]) -> bool:
    parts = dotted.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts) + 1))


def _kind_of(dotted: str) -> Kind | None:
    parts = dotted.split(".")
    found = (_DOES.get(".".join(parts[:end])) for end in range(len(parts), 0, -1))
    return None if _in(dotted, _LOOKS) else next(filter(None, found), None)


# Modules of which some functions are judged one by one.
def _is_known(top: str) -> bool:
    return top in {name.partition(".")[0] for name in _LOOKS} | {
        "os",
        "importlib",
        "codecs",
        "asyncio",
        "threading",
        "concurrent",
    }


# Objects that hold data or draw it: what they do is known by the names of their methods.
def _is_data(module: str) -> bool:
    top = module.partition(".")[0]
    return top in _COMPUTES or top in {"builtins", "pathlib", "_io"} or top in {"mpl_toolkits", "_sqlite3", "_duckdb"}


def _text(node: ast.expr) -> str | None:
    """The text of a constant, also of several that are joined."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return left + right if left is not None and right is not None else None
    if isinstance(node, ast.JoinedStr) and all(isinstance(each, ast.Constant) for each in node.values):
        return "".join(str(each.value) for each in node.values if isinstance(each, ast.Constant))
    return None


# SQL as it stands, also in `text("…")`.
def _sql_text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call) and _last(node.func) in {"text", "dedent", "strip"} and node.args:
        return _text(node.args[0])
    return _text(node)


def _text_arg(call: ast.Call) -> bool:
    return bool(call.args) and _text(call.args[0]) is not None and len(call.args) == 1


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


# Whether a call of `open` only reads: by its mode, where that stands in the call.
def _reads(call: ast.Call, place: int) -> bool:
    if any(isinstance(arg, ast.Starred) for arg in call.args) or any(each.arg is None for each in call.keywords):
        return False
    given = next((each.value for each in call.keywords if each.arg == "mode"), None)
    if given is None:
        if any(each.arg == "opener" for each in call.keywords):
            return False
        given = call.args[place] if len(call.args) > place else None
    if given is None:
        return True
    mode = _text(given)
    return mode is not None and set(mode) <= set("rbtU")


# Whether a method that gives text or writes it, such as `df.to_json`, is told where to.
def _takes_path(call: ast.Call) -> bool:
    named = next(
        (each.value for each in call.keywords if each.arg in {"path_or_buf", "buf", "path", "file", None}), None
    )
    given = call.args[0] if call.args else named
    return given is not None and not (isinstance(given, ast.Constant) and given.value is None)


def _is_path(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp | ast.Attribute | ast.Call):
        if isinstance(node, ast.Call) and _last(node.func) in {"Path", "PurePath", "cwd", "home"}:
            return True
        node = (
            node.left if isinstance(node, ast.BinOp) else node.value if isinstance(node, ast.Attribute) else node.func
        )
    return False


# `partial(f, 1)(2)` and `type(x)(y)` call what is mentioned inside.
def _is_decorated(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last(node.func) in {"partial", "type", "wraps", "lru_cache", "itemgetter"}


def _shown(node: ast.AST) -> str:
    return ast.unparse(node)
