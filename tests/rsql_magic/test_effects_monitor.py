"""The monitor itself: cells that surely act, in each way that it has to see, and cells that only compute."""

from __future__ import annotations

import shutil

import pytest
from effects_monitor import Group, watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sweep,  # many processes under strace
    pytest.mark.usefixtures("programs"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

ACTING = {
    "files": [
        "open('made', 'w').close()",
        "from pathlib import Path\nPath('HITKEEP').unlink()",
        "from pathlib import Path\nPath('HITKEEP').rename('moved')",
        "from pathlib import Path\nPath('notes.txt').chmod(0o600)",
        "import os\nos.mkdir('made')",
        "import os\nos.symlink('a', 'b')",
        "import os\nos.utime('/tmp')",
        "import tempfile\ntempfile.TemporaryFile().close()",
        "open('notes.txt', 'r+').write('K')",
        "class Late:\n    def __del__(self):\n        open('made', 'w').close()\nlate = Late()",
        "opened = open\nclass Late:\n    def __del__(self):\n        opened('made', 'w').close()\nlate = Late()",
        "import weakref\nclass Late: pass\nlate = Late()\nweakref.finalize(late, open, 'made', 'w')",
        "import atexit, os\natexit.register(os.mkdir, 'made')",
        "class Shown:\n    def _repr_html_(self):\n        open('made', 'w').close()\nShown()",
        "%%writefile made\nx",
        "import threading, os\nlate = threading.Thread(target=os.mkdir, args=['made'])\nlate.start()\nlate.join()",
    ],
    "processes": [
        "import os\nos.system('true')",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nif not os.fork():\n    os._exit(0)\nos.wait()",
        "!true",
        "import os\nos.kill(os.getpid(), 0)",
    ],
    "network": [
        "from urllib.request import urlopen\nurlopen('{{server}}/x').read()",
        "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "import socket\nsocket.socket().bind(('127.0.0.1', 0))",
    ],
    "environment": [
        "import os\nos.environ['X'] = '1'",
        "import os\nos.putenv('X', '1')",
        "import os\nos.chdir('/')",
    ],
    "state": [
        "import signal\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "import sys\nsys.path.append('/nowhere')",
        "import builtins\nbuiltins.len = max",
        "import beside",
        "import sys\nsys.modules['json'] = 1",
        "import json\njson.dumps = print",
        "import sys\nsys.settrace(lambda *_: None)",
        "import sys\nsys.stdout = None",
        "import os\nos.umask(0)",
        "get_ipython().events.register('post_run_cell', print)",
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
    "database": [
        "import sqlite3\nwith sqlite3.connect('HITSQL') as base:\n    base.execute('DELETE FROM b')",
        "import duckdb\nbase = duckdb.connect('HITDUCK')\nbase.execute('DELETE FROM t')\nbase.close()",
        "import duckdb\nduckdb.sql('CREATE TABLE made AS SELECT 1')",
        Group(["con.execute('DELETE FROM t')"], ["con"]),
        Group(["con.execute('SET threads = 1')"], ["con"]),
        Group(["con.execute(\"ATTACH ':memory:' AS other\")"], ["con"]),
    ],
    "page": [
        "from IPython.display import Javascript\nJavascript('1')",
        "from IPython.display import HTML, display\ndisplay(HTML('<script>1</script>'))",
        "class Shown:\n    def _repr_html_(self):\n        return '<img src=x onerror=x()>'\nShown()",
    ],
}
QUIET = [
    "1 + 1",
    "print('a', sum(range(10)))",
    "import os\nos.listdir('.'), open('notes.txt').read()",
    "import sqlite3\nsqlite3.connect('HITSQL').execute('SELECT * FROM b').fetchall()",
    "import duckdb\nduckdb.connect('HITDUCK', read_only=True).sql('SELECT * FROM t').fetchall()",
    "from IPython.display import HTML\nHTML('<b>bold</b>')",
    "raise ValueError",
    Group(["con.sql('SELECT * FROM t').fetchall()"], ["con"]),
]
ACTING_R = {
    "files": [
        "cat('x', file = 'made')",
        "unlink('HITKEEP')",
        "reg.finalizer(new.env(), function(e) file.create('made'))",
        "print.mine <- function(x, ...) file.create('made')\nstructure(1, class = 'mine')",
        "pdf('made')\nplot(1)",
    ],
    "processes": ["system('true')", "readLines(pipe('true'))"],
    "network": ["try(readLines('{{server}}/x'))", "try(socketConnection('127.0.0.1', 9, timeout = 1))"],
    "environment": ["Sys.setenv(X = '1')", "setwd('/')"],
    "state": [
        "setMethod('show', 'numeric', function(object) 1)",
        "addTaskCallback(function(...) TRUE)",
        "options(browser = 'touch made')",
        "unlockBinding('mean', baseenv())\nassign('mean', max, baseenv())",
        "sink('/dev/null')",
    ],
    "database": [
        "library(DBI)\nbase <- dbConnect(RSQLite::SQLite(), 'HITDB')\ndbExecute(base, 'DELETE FROM t')",
        Group(["DBI::dbExecute(con, 'DELETE FROM t')"], ["con"]),
    ],
    "page": ["IRdisplay::display_javascript('1')"],
}
QUIET_R = [
    "1 + 1",
    "plot(1:3)",
    "summary(lm(mpg ~ cyl, mtcars))",
    "readLines('notes.txt')",
    "stop('x')",
    Group(["DBI::dbGetQuery(con, 'SELECT * FROM t')"], ["con"]),
]


def _misses(acting, quiet, language, modules):
    cells = [(kind, cell) for kind, each in acting.items() for cell in each] + [(None, cell) for cell in quiet]
    seen = watch([cell for _, cell in cells], language, modules=modules)
    misses = [
        f"{kind} not seen: {each.code!r}"
        for (kind, _), each in zip(cells, seen, strict=True)
        if kind and kind not in each.kinds
    ]
    misses += [
        f"{each.effects} at {each.code!r}"
        for (kind, _), each in zip(cells, seen, strict=True)
        if not kind and each.effects
    ]
    return misses


def test_what_python_does_is_seen():
    assert _misses(ACTING, QUIET, "python", ["IPython", "duckdb", "sqlite3", "json"]) == []


@pytest.mark.usefixtures("real_r")
def test_what_r_does_is_seen():
    assert _misses(ACTING_R, QUIET_R, "r", ["DBI", "RSQLite", "IRdisplay"]) == []


def test_a_cell_that_never_ends_is_ended_and_said_to_be_unfinished():
    seen = watch(["while True: pass", "1 + 1"], modules=["IPython"], seconds=0.5)
    assert [each.kinds for each in seen] == [{"unfinished"}, set()]
