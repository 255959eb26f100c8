"""What every test gets: a clean environment and homes of its own, so that nobody's keys or settings play a part."""

from __future__ import annotations

import builtins
import gc
import logging
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from socketserver import StreamRequestHandler

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
_NOT_QUICK = {"bench", "distributions", "programs", "slow", "spark", "sweep"}
_LONGEST = (
    *("hub/test_hub.py", "hub/test_hub_browser.py", "hub/test_hub_failures.py", "hub/test_hub_sidebar.py"),
    *(
        "e2e/test_panel.py",
        "e2e/test_sidebar",
        "e2e/test_charts_lab.py",
        "e2e/test_markdown_",
        "hub/test_guide.py",
        "ha/test_ha.py",
        "e2e/test_kernel.py",
    ),
    *("e2e/test_batch_", "e2e/test_r.py", "contract/test_two_gateways.py", "e2e/test_r_replies.py"),
    *("e2e/test_r_databases.py", "e2e/test_console.py", "e2e/test_demo.py", "e2e/test_map_", "hub/test_hub_several.py"),
    *("test_many_callers.py", "test_looking.py", "test_app.py", "test_evaluation.py", "test_context_privacy.py"),
    *("test_values_building.py", "test_nothing_leaves.py", "test_tenants_together.py"),
)
_WAITING = tuple(f"tests/{folder}/" for folder in ("clients", "contract", "e2e", "ha", "hub"))
"""Where tests wait for programs that they started, for a third of their time."""

_SHARING = (
    {f"tests/hub/test_hub{part}.py" for part in ("", "_browser", "_failures", "_sidebar")},
    {f"tests/e2e/test_{part}.py" for part in ("do", "map_lab", "markdown_cells", "markdown_pages", "sidebar")},
    {f"tests/e2e/test_sidebar_{part}.py" for part in ("files", "hidden", "odd", "opening", "trouble")},
    {f"tests/e2e/test_{part}.py" for part in ("ask_fix_lab", "charts_lab", "held_outputs", "shown_code", "study_lab")},
)
"""Files that share a server: a hub, a JupyterLab."""
_R_IS_REQUIRED = os.environ.get("RSQL_TEST_REQUIRE_R") == "1"
_IS_SLOW = re.compile(r'^pytestmark = .*(mark\.slow|usefixtures\("(simulation|programs|real_r)")', re.MULTILINE)
_started: list[str] = []

_FOREIGN = ("RSQL_", "JUPYTER", "JPY_", "IPYTHONDIR", "PAPERMILL")

# jsonschema, which reads notebooks and Jupyter's events, does without it: its import builds 38 grammars, for 1.5 s. The
# servers and hubs that tests start do, too.
sys.modules["rfc3987_syntax"] = None

# A case that takes long beside other work is no fault. Speed is measured by `make bench`.
hypothesis.settings.register_profile("rsql", deadline=None)
hypothesis.settings.load_profile("rsql")

# What collection makes stays until the end: to look for garbage in it again and again takes a sixth of its time.
gc.disable()

# The tests' own servers write a reply in pieces: without this each small one waits 40 ms for an acknowledgement.
StreamRequestHandler.disable_nagle_algorithm = True


@pytest.fixture(scope="session")
def programs(pytestconfig):
    """For tests and fixtures that start programs of any kind: servers, kernels, browsers, Python. Others cannot.

    A test that gets here by ``getfixturevalue``, for one of its parameters, is known only now: ``-m quick`` skips it.
    """
    if pytestconfig.getoption("markexpr") == "quick":
        pytest.skip("It starts a program; make test runs it.")


@pytest.fixture(scope="session")
def real_r(programs):
    """For tests and fixtures that start R: skipped where there is none, or failed with ``RSQL_TEST_REQUIRE_R=1``."""
    from rsql_magic.context.r import r_problem

    if shutil.which("Rscript") is None or r_problem():
        (pytest.fail if _R_IS_REQUIRED else pytest.skip)(r_problem() or "Rscript is not installed.")


@pytest.fixture(scope="session")
def simulation():
    """For tests that play minutes of a gateway in virtual time, or many sessions, and so take seconds of real work."""


def _collect_garbage():
    """What survives (modules, caches, the tests themselves) is not looked at again, which would take .4 s a file."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """A file whose tests all are slow, start programs or play simulations is not even imported for ``-m quick``."""
    if config.getoption("markexpr") == "quick" and collection_path.suffix == ".py":
        return bool(_IS_SLOW.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests of each, in another order")


def _in_order(items, seed):
    """What takes longest first, so that no worker is left alone with it; with a seed, any order of files and tests."""
    if seed is None:
        return sorted(items, key=lambda item: next((at for at, long in enumerate(_LONGEST) if long in item.nodeid), 99))
    chance = random.Random(seed)
    rank = {path: chance.random() for path in dict.fromkeys(item.path for item in items)}
    return sorted(items, key=lambda item: (rank[item.path], chance.random()))


@cache
def _times():
    """Seconds and cases of each test that takes a second or more, as they were measured."""
    lines = (ROOT / "tests" / "times.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.split(" ", 2) for line in lines if not line.startswith("#"))
    return {name: (float(seconds), int(cases)) for seconds, cases, name in rows}


def _cases_in_make_test(item, name):
    """How many cases of a test ``make test`` takes: all of a ``spine``, and of many short ones a second's worth."""
    if spine := item.get_closest_marker("spine"):
        return spine.kwargs.get("cases", math.inf)
    seconds, cases = _times().get(name, (0.0, 1))
    return math.inf if not seconds else int(cases / seconds) if cases >= 4 else 0


def _mark_long(items):
    taken = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        taken[name] += 1
        if taken[name] > _cases_in_make_test(item, name):
            item.add_marker("long")


def pytest_collection_modifyitems(config, items):
    """``-m quick`` takes what starts no program, plays no simulation, draws no generated cases and is not ``slow``."""
    _mark_long(items)
    items[:] = _in_order(items, config.getoption("shuffle"))
    for item in items:
        long = "simulation" in item.fixturenames or hasattr(item.obj, "hypothesis")
        if not (long or "programs" in item.fixturenames or _NOT_QUICK & {mark.name for mark in item.iter_markers()}):
            item.add_marker("quick")


def pytest_collection_finish():
    _collect_garbage()
    gc.enable()


def pytest_unconfigure():
    gc.unfreeze()


def pytest_xdist_make_scheduler(config, log):
    """With ``--dist loadfile`` the tests of a file stay together, and those of files that share a server.

    All workers but one start with files that wait for programs, and that one computes meanwhile: the processors are
    busy, and programs are not disturbed by more than a few others.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByServer(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((min(files) for files in _SHARING if file in files), file)

        def _assign_work_unit(self, node):
            others = [files for other, files in self.assigned_work.items() if other is not node]
            waiting = sum(any(_waits(file) and not all(files[file].values()) for file in files) for files in others)
            wanted = waiting < max(1, len(self.nodes) - 1)
            fitting = (file for file in self.workqueue if _waits(file) == wanted)
            self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
            super()._assign_work_unit(node)

    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None


def _waits(file):
    return file.startswith(_WAITING)


def pytest_configure(config):
    """With ``-m quick`` each program that is started is noted."""
    if config.getoption("markexpr") != "quick":
        return
    start = subprocess.Popen.__init__

    def noted(process, args, *rest, **options):
        _started.append(args if isinstance(args, str) else args[0])
        start(process, args, *rest, **options)

    subprocess.Popen.__init__ = noted


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """With ``-m quick`` a test that started a program fails. To ask ``R RHOME``, as rpy2 does to find R, is none."""
    result = yield
    if started := [program for program in _started if Path(program).name != "R"]:
        pytest.fail(f"It started {started[0]}, so it has to ask for the fixture `programs` or `real_r`.")
    return result


@pytest.fixture(autouse=True, scope="session")
def _clean_environment(tmp_path_factory):
    """No key, token, gateway or module of whoever runs the tests; Jupyter's and IPython's folders are temporary."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(_FOREIGN) or "API_KEY" in name or name in {"HF_TOKEN", "OPENAI_BASE_URL"}:
                patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            folder = home / variable.lower()
            folder.mkdir()
            patch.setenv(variable, str(folder))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.setenv("RSQL_VALUES", "off")  # no threads that outlive a test; tests of value indexes say where they are
        patch.setenv("RSQL_CONVERSATIONS", "off")  # likewise
        (home / "rfc3987_syntax.py").write_text("raise ImportError\n")
        patch.setenv("PYTHONPATH", str(home))
        yield


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_works():
    """A shell that starts the tests in the background has them ignore Ctrl-C, and so would all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_LIBRARIES = os.environ.get("LD_LIBRARY_PATH")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """What running code leaves in the process is taken out: R's library path, and a builtin ``_``.

    Doctests and consoles leave their last value as a builtin, and a shell of IPython then keeps none of its own.
    R puts its libraries, and the system's, before Python's once it runs: programs started later would load those.

    A hook rather than a fixture, as fixtures of a module start programs before those of a test.
    """
    _started.clear()
    vars(builtins).pop("_", None)
    if os.environ.get("LD_LIBRARY_PATH") != _LIBRARIES:
        os.environ.pop("LD_LIBRARY_PATH", None)
        os.environ |= {"LD_LIBRARY_PATH": _LIBRARIES} if _LIBRARIES else {}


@pytest.fixture(autouse=True, scope="module")
def _no_socket_left_in_a_cycle():
    """What a stopped request or query left in a cycle with its traceback is collected where it was left.

    Its owner has closed it, but a reader in the same cycle may hold the descriptor a moment longer, and Python then
    warns of it in whichever test happens to run.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        _collect_garbage()


_LOGGERS = [
    logging.getLogger(name)
    for name in ("tornado.application", "tornado.general", "tornado.access", "asyncio", "py.warnings")
]


def _lines_as_before():
    """A gateway that runs by itself changes the lines of its whole process: nothing of it is left to the next test."""
    before = [(logger, list(logger.filters), list(logger.handlers)) for logger in _LOGGERS]
    tornado = logging.getLogger("tornado")
    to, level = tornado.parent, tornado.level
    yield
    for logger, filters, handlers in before:
        logger.filters[:], logger.handlers[:] = filters, handlers
    tornado.parent = to  # where Jupyter's applications put their own logger
    tornado.setLevel(level)


_lines_of_a_module = pytest.fixture(_lines_as_before, autouse=True, scope="module")
_lines_of_a_test = pytest.fixture(_lines_as_before, autouse=True)


@pytest.fixture(autouse=True)
def _no_object_of_r_left():
    """R runs in this process until its end; the next test must find an empty workspace."""
    yield
    embedded = sys.modules.get("rpy2.rinterface_lib.embedded")
    if embedded and embedded.isinitialized():
        sys.modules["rpy2.rinterface"].evalr("rm(list = ls(globalenv(), all.names = TRUE), envir = globalenv())")


@pytest.fixture(autouse=True)
def _no_connection_left():
    """JupySQL keeps its current connection in a class; the next test must not find the last one's."""
    yield
    if module := sys.modules.get("sql.connection"):
        module.ConnectionManager.current = None
        module.ConnectionManager.connections.clear()


@pytest.fixture(autouse=True, scope="session")
def _new_ledgers_are_alike():
    """Alembic makes the tables of the first ledger in SQLite; the others repeat its statements, ten times as fast."""
    import sqlalchemy as sa
    from alembic import command

    upgrade, statements = command.upgrade, []

    def repeated(config, revision):
        db = config.attributes["connection"]
        if revision != "head" or db.dialect.name != "sqlite" or sa.inspect(db).has_table("alembic_version"):
            upgrade(config, revision)
        elif statements:
            for statement in statements:
                db.exec_driver_sql(statement)
        else:
            upgrade(config, revision)
            # Indexes of keys, the counter of rows and the tables behind FTS5's come by themselves.
            theirs = "sql IS NULL OR name GLOB 'sqlite_*' OR name GLOB 'document_words_*'"
            made = f"SELECT sql FROM sqlite_schema WHERE NOT ({theirs}) ORDER BY rowid"
            statements.extend(db.exec_driver_sql(made).scalars())
            version = db.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
            statements.append(f"INSERT INTO alembic_version VALUES ('{version}')")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", repeated)
        yield


@pytest.fixture
def store(url):
    """A ledger at ``url``, which the tests of each folder define."""
    from jupyter_server_ext.ledger import SqlLedgerStore

    store = SqlLedgerStore(url, instance="one")
    yield store
    store.close()


@pytest.fixture
def plug_ins(tmp_path_factory, monkeypatch):
    """Installs a distribution of plug-ins (`plugged_school.install`) for the time of a test."""
    import plugged_school

    from jupyter_server_ext.config import PRESETS

    folder, before = tmp_path_factory.mktemp("site-packages"), dict(PRESETS)
    monkeypatch.syspath_prepend(str(folder))

    def install(entries, modules, name="rsql-school"):
        plugged_school.install(folder, entries, modules, name)
        plugged_school.begin_anew()

    yield install
    monkeypatch.undo()
    PRESETS.clear()
    PRESETS.update(before)
    plugged_school.begin_anew()
