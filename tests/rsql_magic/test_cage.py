"""Cells that are tried: what gets out, what is told, what is carried over, and who says that it cannot be done."""

import datetime as dt
import json
import linecache
import os
import random
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rsql_magic.agent.cage import confine, trial
from rsql_magic.agent.cage.carried import carry
from rsql_magic.agent.cage.trial import Cage, CannotTry, why_not
from tests.escapes import ESCAPES, R_ESCAPES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines processes"),
    pytest.mark.usefixtures("programs"),
]


@pytest.fixture(scope="module", params=["space", "landlock"])
def cage(request):
    cage = Cage(tiers=[request.param], seconds=10, memory=1_500_000_000)
    try:
        cage.attempt("1", {})
    except CannotTry as error:
        pytest.skip(f"this kernel has no such wall: {error}")
    yield cage
    cage.close()


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


class World:
    """What a cell could reach outside, and what became of it."""

    def __init__(self, folder):
        self.out = folder / "out"
        self.out.mkdir()
        (self.out / "keep").write_text("as it was")
        os.setxattr(self.out / "keep", "user.note", b"SECRET")
        (self.out / "secret").write_text("SECRET")
        self.victim = subprocess.Popen(["sleep", "600"], env={"TOKEN": "SECRET"})
        self.abstract = f"rsql-{os.getpid()}-{self.victim.pid}"
        self.sockets = [
            *(socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)),
            *(socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        ]
        tcp, udp, path, abstract, datagram = self.sockets
        udp.bind(("127.0.0.1", 0))
        path.bind(str(folder / "path.sock"))
        abstract.bind(f"\0{self.abstract}")
        datagram.bind(str(folder / "datagram.sock"))
        for each in (path, abstract):
            each.listen()
        for each in self.sockets:
            each.setblocking(False)
        self.names = {
            "out": self.out,
            "port": tcp.getsockname()[1],
            "datagrams": udp.getsockname()[1],
            "path": folder / "path.sock",
            "datagram_path": folder / "datagram.sock",
            "abstract": self.abstract,
            "victim": self.victim.pid,
            "watcher": os.getpid(),
        }
        self.before = self.state()

    def state(self):
        """What can be seen of what a cell did."""
        if not self.out.is_dir():
            return "gone"
        files = {each.name: (each.lstat().st_mode, each.lstat().st_mtime_ns) for each in self.out.iterdir()}
        kept = (self.out / "keep").read_text() if (self.out / "keep").is_file() else ""
        return files, kept, [self._heard(each) for each in self.sockets], self.victim.poll()

    def _heard(self, each):
        try:
            if each.type == socket.SOCK_DGRAM:
                return each.recv(100)
            each.accept()[0].close()
        except OSError:
            return None
        return True

    def is_hit(self, text):
        return self.state() != self.before or "REACHED" in text or "SECRET" in text

    def close(self):
        for each in self.sockets:
            each.close()
        self.victim.kill()
        self.victim.wait()


@pytest.fixture
def world(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TOKEN", "SECRET")
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture
def session(real_r):
    """R's workspace, empty before and after."""
    from rpy2 import robjects

    robjects.r("rm(list = ls(all.names = TRUE))")
    yield robjects.r
    robjects.r("rm(list = ls(all.names = TRUE))")


SAMPLE = random.Random(33).sample(sorted({*ESCAPES} - {"many files"}), 16)  # without one that takes seconds


SAMPLE_OF_R = random.Random(33).sample(sorted(R_ESCAPES), 5)


def uncaged(what, world, folder, escapes=ESCAPES):
    """Whether an escape has an effect in a plain process."""
    command = [sys.executable, "-c"] if escapes is ESCAPES else ["Rscript", "-e"]
    with (world.out / "secret").open("rb") as leaked:
        ran = subprocess.run(
            [*command, escapes[what].format(**world.names)],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "TOKEN": "SECRET"},
            pass_fds=[leaked.fileno()],
        )
    if what.startswith("signal"):
        world.victim.wait(60)
    return world.is_hit(ran.stdout) or ran.stderr


def caged(escapes, cage, world, folder, magic=""):
    """Escapes that have an effect although they are tried in the cage, with what they told."""
    reached = {}
    with (world.out / "secret").open("rb") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        for what, code in escapes.items():
            tried = cage.attempt(magic + code.format(**world.names), {}, str(folder))
            text = f"{tried.output}\n{tried.result}\n{tried.error}"
            if world.is_hit(text):
                reached[what] = text
                world.before = world.state()
    return reached


@pytest.mark.parametrize("what", SAMPLE)
def test_an_escape_has_an_effect_without_a_cage(what, world, tmp_path):
    assert uncaged(what, world, tmp_path) is True


@pytest.mark.sweep
@pytest.mark.parametrize("what", sorted({*ESCAPES} - {*SAMPLE}))
def test_each_escape_has_an_effect_without_a_cage(what, world, tmp_path):
    assert uncaged(what, world, tmp_path) is True


@pytest.mark.spine
def test_no_escape_has_an_effect_in_a_cage(cage, folder, world):
    assert caged({what: ESCAPES[what] for what in SAMPLE}, cage, world, folder) == {}


@pytest.mark.sweep
def test_none_of_all_escapes_has_an_effect_in_a_cage(cage, folder, world):
    assert caged(ESCAPES, cage, world, folder) == {}


@pytest.mark.sweep
@pytest.mark.usefixtures("real_r")
@pytest.mark.parametrize("what", sorted(R_ESCAPES))
def test_each_escape_of_r_has_an_effect_without_a_cage(what, world, tmp_path):
    assert uncaged(what, world, tmp_path, R_ESCAPES) is True


@pytest.mark.usefixtures("session")
def test_no_escape_of_r_has_an_effect_in_a_cage(cage, folder, world):
    assert caged({what: R_ESCAPES[what] for what in SAMPLE_OF_R}, cage, world, folder, "%%R\n") == {}


@pytest.mark.sweep
@pytest.mark.usefixtures("session")
def test_none_of_all_escapes_of_r_has_an_effect_in_a_cage(cage, folder, world):
    assert caged(R_ESCAPES, cage, world, folder, "%%R\n") == {}


# What is told.


def test_it_is_told_what_a_cell_gives_and_what_it_would_have_done(cage, folder):
    (folder / "old.csv").write_text("a\n1\n")
    (folder / "gone.csv").write_text("a\n1\n")
    before = {each.name: each.read_text() for each in folder.iterdir()}
    cell = (
        "import os, socket\nimport pandas as pd\nframe = pd.read_csv('old.csv')\n"
        "frame.assign(a=2).to_csv('old.csv', index=False)\nframe.to_csv('new.csv')\nos.remove('gone.csv')\n"
        "try:\n    os.system('rm -r x')\nexcept OSError as e:\n    print('refused', e)\n"
        "try:\n    socket.create_connection(('192.0.2.1', 443))\nexcept OSError as e:\n    print('refused', e)\n"
        "print(pd.read_csv('old.csv').a.tolist())\nframe.a.sum()"
    )
    tried = cage.attempt(cell, {}, str(folder))
    assert tried.error is None
    assert tried.output.endswith("[2]\n")
    assert tried.result.endswith("1)") or tried.result == "1"
    assert {"changed old.csv", "created new.csv", "deleted gone.csv"} <= {*tried.wanted}
    assert "would reach 192.0.2.1:443" in tried.wanted
    assert "would start a program rm -r x" in tried.wanted
    assert {each.name: each.read_text() for each in folder.iterdir()} == before


def test_it_is_given_what_can_be_carried_over_and_names_the_rest(cage, folder, monkeypatch):
    monkeypatch.setitem(linecache.cache, "<typed>", (0, None, ["def double(x):\n", "    return x * rate\n"], "<typed>"))
    namespace = {"__name__": "__main__"}
    exec(compile("".join(linecache.cache["<typed>"][2]), "<typed>", "exec"), namespace)
    import sqlite3

    session = {
        "df": pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        "rate": 3,
        "double": namespace["double"],
        "pd": pd,
        "array": np.arange(3),
        "con": sqlite3.connect(":memory:"),
        "model": object(),
        "unused": object(),
    }
    tried = cage.attempt(
        "print(df.a.map(double).tolist(), array.sum(), pd.isna(df.b).sum())\ncon", session, str(folder)
    )
    assert tried.output == "[3, 6] 3 1\n"
    assert len(tried.missing) == 1
    assert "sqlite3.Connection is a connection" in tried.missing[0]
    tried = cage.attempt("con.execute('drop table x')", session, str(folder))
    assert tried.error is not None
    assert "con is not there in a trial" in tried.error[1]
    session["con"].close()


def test_a_cell_of_r_is_told_with_what_it_would_have_done(cage, folder, session):
    (folder / "old.csv").write_text("a\n1\n")
    (folder / "gone.csv").write_text("a\n1\n")
    before = {each.name: each.read_text() for each in folder.iterdir()}
    cell = (
        "frame <- read.csv('old.csv')\nwrite.csv(transform(frame, a = 2), 'old.csv', row.names = FALSE)\n"
        "saveRDS(frame, 'new.rds')\nunlink('gone.csv')\ntry(system('rm -r x'), silent = TRUE)\n"
        "try(suppressWarnings(url('http://192.0.2.1/x', 'r')), silent = TRUE)\nplot(1)\nwarning('look')\n"
        "print(read.csv('old.csv')$a)\nsum(frame$a)"
    )
    tried = cage.attempt(f"%%R\n{cell}", {}, str(folder))
    assert (tried.error, tried.output) == (None, "[1] 2\n[1] 1\n\nWarning: error in running command\nWarning: look")
    assert tried.result.startswith("1 plot drawn")
    assert {"changed old.csv", "created new.rds", "deleted gone.csv"} <= {*tried.wanted}
    assert {"would start a program rm -r x", "would reach http://192.0.2.1/x"} <= {*tried.wanted}
    assert {each.name: each.read_text() for each in folder.iterdir()} == before
    failed = cage.attempt("%%R\nx <- 1\nstop('no such thing')", {}, str(folder))
    assert "no such thing" in (failed.error or ["", ""])[1]
    assert "unexpected" in (cage.attempt("%%R\n1 + + )", {}, str(folder)).error or ["", ""])[1]


def test_a_cell_of_r_is_given_what_can_be_carried_over_and_the_rest_is_named(cage, folder, session):
    session(
        "con <- DBI::dbConnect(RSQLite::SQLite(), ':memory:'); frame <- data.frame(a = 1:2, b = factor(c('x', NA)))\n"
        "rate <- 3; double <- function(x) x * rate; print.own <- function(x, ...) cat('OWN\\n')\n"
        "own <- structure(1, class = 'own'); model <- lm(mpg ~ wt, mtcars); place <- new.env(); options(digits = 3)"
    )
    cell = "%%R -i df,given=n\nprint(sum(double(frame$a))); print(coef(model)); print(own); print(df$q + given)\ncon"
    tried = cage.attempt(cell, {"df": pd.DataFrame({"q": [1.0, 2.0]}), "n": 10}, str(folder))
    session("DBI::dbDisconnect(con); options(digits = 7)")
    assert tried.output.splitlines() == [
        *("[1] 9", "(Intercept)          wt ", "      37.29       -5.34 ", "OWN", "[1] 11 12")
    ]
    assert [each.split(":")[0] for each in tried.missing] == ["con"]
    assert "SQLiteConnection is a connection" in tried.missing[0]
    assert "con is not there in a trial" in (tried.error or ["", ""])[1]
    tried = cage.attempt("%%R\nplace$x <- 1", {}, str(folder))
    assert "place is not there in a trial" in (tried.error or ["", ""])[1]
    assert cage.attempt("%%R\nplace <- 2; place + rate", {}, str(folder)).output == "[1] 5\n"


R_TRAPS = (
    "delayedAssign('late', trap()); makeActiveBinding('active', function() trap(), globalenv())",
    "get <- exists <- typeof <- attributes <- c <- names <- class <- saveRDS <- ls <- function(...) trap()",
    "length.own <- names.own <- print.own <- format.own <- as.list.own <- `[[.own` <- `$.own` <- function(...) trap()",
    "own <- structure(list(a = 1), class = 'own')",
)


def test_no_code_of_the_session_runs_where_its_values_are_taken(session, tmp_path):
    session(f"trap <- function(...) cat('x', file = '{tmp_path}/ran')\n" + "\n".join(R_TRAPS))
    carried = Cage().carried("%%R\nlate; active; own; length(own)", {})
    session("base::rm(list = base::ls(all.names = TRUE))")
    assert carried.r is not None
    assert sorted(name for name, _ in carried.r.missing) == ["active", "late"]
    assert carried.r.values
    assert list(tmp_path.iterdir()) == []


R_VALUES = {
    **dict.fromkeys(["1:3", "'a'", "NULL", "quote(x + y)", "y ~ x", "mtcars", "as.Date('2020-01-01')", "sum"], True),
    **dict.fromkeys(["list(1, list('a', NULL))", "factor(c('a', NA))", "function(x) x + 1", "1i", "as.raw(1)"], True),
    **dict.fromkeys(["as.list(1:300000)", "structure(1, note = list(2))", "expression(a, b)", "stats::sd"], True),
    **dict.fromkeys(["new.env()", "list(1, list(new.env()))", "structure(1, of = new.env())", "stdin()"], False),
    **dict.fromkeys(["local(function() 1)", "local(y ~ x)", "getNativeSymbolInfo('R_addTaskCallback')"], False),
    "numeric(3e7)": False,
}


def test_only_values_of_r_that_are_whole_by_themselves_are_written_down(session):
    goes = {}
    for value in R_VALUES:
        session(f"value <- {value}")
        carried = Cage().carried("%%R\nvalue", {})
        goes[value] = not (carried.r and carried.r.missing)
    assert goes == R_VALUES


class OwnZone(dt.tzinfo):
    def utcoffset(self, _when):
        return dt.timedelta(0)

    dst = utcoffset


OWN_ZONE = OwnZone()
ENDLESS: list = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "goes"),
    [
        *((1, True), ([1, "a", {"b": (2.0, None)}], True), (np.float64(1), True), (np.array(["a", 1], object), True)),
        *((pd.Series([1], pd.Index(["a"])), True), (pd.DataFrame({"c": pd.Categorical(["a"])}), True)),
        *((type("Own", (int,), {})(1), False), (pd.DataFrame({"a": [object()]}), False)),
        *(([[object()]], False), (np.array([object()]), False), (type("Own", (pd.DataFrame,), {})(), False)),
        *((pd.Series([1], dtype="Int64"), True), (pd.Series(pd.to_datetime(["2020"]).tz_localize("UTC")), True)),
        *((pd.Series(pd.arrays.SparseArray([object()], dtype=object)), False), (pd.Timestamp(0, tz=OWN_ZONE), False)),
        *((pd.Series([dt.datetime(2020, 1, 1, tzinfo=OWN_ZONE)], dtype=object), False), (ENDLESS, False)),
        *(
            (np.zeros(30_000_000), False),
            (["x" * 1_000_000] * 300, True),
            ([bytes(99_000_000), bytes(101_000_001)], False),
        ),
        *((lambda: 1, False), ((each for each in [1]), False), (pd.Series([1], name=object()), False)),
    ],
)
def test_only_values_of_known_types_are_written_down(value, goes):
    carried = carry("value", {"value": value})
    assert (list(carried.values), len(carried.missing)) == ((["value"], 0) if goes else ([], 1))


def test_no_code_of_the_users_runs_where_values_are_taken():
    class Acts:
        def __reduce__(self):
            raise AssertionError

        __getattr__ = __iter__ = __len__ = __eq__ = __hash__ = __bool__ = __repr__ = __reduce__

    names = {"plain": Acts(), "inside": [Acts()], "frame": pd.DataFrame({"a": [1]})}
    names["frame"].attrs["x"] = Acts()
    assert sorted(name for name, _ in carry("plain, inside, frame", names).missing) == ["frame", "inside", "plain"]


def test_names_that_begin_with_a_dot_are_not_shown(cage, folder):
    (folder / ".env").write_text("KEY=SECRET")
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / "sub" / ".git" / "config").write_text("SECRET")
    cell = "import os\nfor path in ('.env', 'sub/.git/config'):\n    try:\n        print(open(path).read())\n"
    tried = cage.attempt(f"{cell}    except OSError:\n        pass", {}, str(folder))
    assert (tried.error, "SECRET" in tried.output) == (None, False)


def test_of_a_home_folder_only_what_a_cell_names_is_shown(cage, folder, monkeypatch):
    monkeypatch.setattr(trial.Path, "home", lambda: folder / "me")
    for name in ("named.csv", "other.csv", ".netrc"):
        (folder / name).write_text("SECRET" if name != "named.csv" else "mine")
    tried = cage.attempt("import os\nprint(open('named.csv').read(), os.listdir('.'))", {}, str(folder))
    assert tried.output == "mine ['named.csv']\n"
    tried = cage.attempt("open('.netrc').read()", {}, str(folder))
    assert tried.error is not None


def test_a_cell_may_wait_as_in_a_notebook(cage, folder):
    cell = "import asyncio\nawait asyncio.sleep(0)\nasync def two():\n    return 2\nawait two()"
    assert cage.attempt(cell, {}, str(folder)).result == "2"


def test_folders_that_are_too_deep_are_told_and_removed(cage, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(trial.tempfile, "tempdir", str(tmp_path))
    cell = "import os\nfor _ in range(5_000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('last', 'w').close()\n"
    tried = cage.attempt(cell, {}, str(folder))
    assert "created d" in tried.wanted or (tried.error or ["", ""])[1].startswith("It was stopped")
    assert cage.attempt("1 + 1", {}, str(folder)).result == "2"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("rsql-trial")] == []


@pytest.mark.parametrize("make", ["os.mkdir('hid', 0o300)", "os.umask(0o777); os.mkdir('hid')"])
def test_no_folder_hides_what_is_written(make, cage, folder):
    cell = f"import os\n{make}\nopen('hid/file', 'w').close()"
    tried = cage.attempt(cell, {}, str(folder))
    assert tried.error is not None or "created hid/file" in tried.wanted


@pytest.mark.spine
def test_a_cell_that_does_not_end_is_ended(folder):
    cage = Cage(seconds=0.5)
    try:
        tried = cage.attempt("while True: pass", {}, str(folder))
        assert (tried.error or [""])[0] == "Stopped"
        assert cage.attempt("1 + 1", {}, str(folder)).result == "2"
    finally:
        cage.close()


# What keeps a cell from being tried.


@pytest.mark.spine
@pytest.mark.parametrize(
    ("wall", "says"),
    [
        ("confine.filters.install = lambda filtered: None", "make a socket of the machine"),
        ("confine.landlock = lambda *paths: None", "read a file elsewhere"),
        ("confine.os.closerange = lambda *ends: None", "use descriptor"),
    ],
)
def test_a_wall_that_does_not_hold_is_found_before_the_cell_is_there(wall, says, folder, monkeypatch):
    starts = trial._STARTS.replace("main(int", f"from rsql_magic.agent.cage import confine; {wall}; main(int")
    monkeypatch.setattr(trial, "_STARTS", starts)
    cage = Cage(tiers=["landlock"])
    with pytest.raises(CannotTry, match=says):
        cage.attempt("open('ran', 'w')", {}, str(folder))
    cage.close()
    assert list(folder.iterdir()) == []


# Run by a Python of its own: the walls with one more system call, and what the process then finds that it can do.
LET_THROUGH = """
import json, os, sys
from rsql_magic.agent.cage import confine, filters
found, in_use = {}, confine.memory_in_use()
for name, number in json.loads(sys.argv[1]).items():
    told, telling = os.pipe()
    if os.fork() == 0:
        filters.CALLS = {**filters.CALLS, name: (number, number)}
        confine.landlock(["/usr"], [])
        confine.close_in(confine.Bounds((), "/"), in_use, [telling], pretend=True)
        os.write(telling, json.dumps(confine.leaks(sys.argv[2], [os.getppid()], [telling])).encode())
        os._exit(0)
    os.close(telling)
    found[name] = json.loads(os.read(told, 1000) or "null")
    os.wait()
print(json.dumps(found))
"""
CALLS = {
    "execve": (59, "run a program"),
    "setns": (308, "enter spaces of others"),
    "add_key": (248, "use keys"),
    "ptrace": (101, "trace"),
    "process_vm_readv": (310, "read memory of processes"),
    "shmget": (29, "share memory"),
    "memfd_create": (319, "make a file of memory"),
    "io_uring_setup": (425, "make a ring"),
    "none": (-1, None),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of one processor")
def test_each_system_call_that_a_filter_lets_through_is_found(tmp_path):
    if confine.landlock_abi() < 3:
        pytest.skip("this kernel has no Landlock of version 3")
    (tmp_path / "canary").touch()
    numbers = json.dumps({name: number for name, (number, _) in CALLS.items()})
    ran = subprocess.run(
        [sys.executable, "-c", LET_THROUGH, numbers, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == {name: [says] if says else [] for name, (_, says) in CALLS.items()}


def test_a_cell_cannot_say_that_its_walls_do_not_hold(cage, folder):
    cell = 'import os\nfor at in range(3, 20):\n    try:\n        os.write(at, b\'{"leaks": ["x"]}\')\n'
    cage.attempt(f"{cell}    except OSError:\n        pass\nos._exit(0)", {}, str(folder))
    assert cage.attempt("1 + 1", {}, str(folder)).result == "2"


@pytest.mark.parametrize(
    ("source", "says"),
    [("%%R -c mine\n1", "such options"), ("!ls", "plain Python"), ("%%sql\nSELECT 1", "plain Python")],
)
def test_what_cannot_be_tried_is_said_before_anything_is_done(source, says):
    assert says in why_not(source)
    with pytest.raises(CannotTry, match=says):
        Cage().attempt(source, {})


def test_other_systems_are_told(monkeypatch):
    monkeypatch.setattr(trial.sys, "platform", "darwin")
    assert "needs Linux" in why_not("1")
