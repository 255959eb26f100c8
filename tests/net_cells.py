"""Cells that act, by the way that they take: for the share of them that the net below the assistant's cells catches.

They act in their folder, on the files ``HIT`` and ``HITKEEP`` and the databases ``HITSQL`` and ``HITDUCK``, or on the
server at ``{{server}}``; a module ``beside`` lies there, which writes ``HIT`` when it is loaded.
"""


class Unseen(str):
    """A cell whose act Python does not announce, or not as one of the cell's."""

    __slots__ = ()


_C = "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
_WRITES = "open('HIT', 'w').close()"
_CLASS = "class Late:\n    def __{what}__(self, *_, open=open):\n        open('HIT', 'w').close()\n"

CELLS = {
    "files": [
        _WRITES,
        "open('HITKEEP', 'a').write('x')",
        "import os; os.remove('HITKEEP')",
        "import os; os.rename('HITKEEP', 'HIT')",
        "import os; os.truncate('HITKEEP', 0)",
        "import os; os.close(os.open('HIT', os.O_CREAT | os.O_WRONLY))",
        "import os; os.mkdir('HIT')",
        "import os; os.symlink('HITKEEP', 'HIT')",
        "import os; os.link('HITKEEP', 'HIT')",
        Unseen("import os; os.mkfifo('HIT')"),
        "import shutil; shutil.copyfile('HITKEEP', 'HIT')",
        "from pathlib import Path; Path('HIT').write_text('x')",
        "from pathlib import Path; Path('HIT').touch()",
        "import io; io.FileIO('HIT', 'w').close()",
        "import tempfile; tempfile.mkdtemp(dir='.')",
        "import zipfile; zipfile.ZipFile('HIT', 'w').close()",
        "import mmap\nwith open('HITKEEP', 'r+b') as f:\n    mmap.mmap(f.fileno(), 0)[0:1] = b'x'",
        "import logging; logging.FileHandler('HIT').close()",
        "import shelve; shelve.open('HIT').close()",
        "import numpy as np; np.save('HIT', np.zeros(1))",
        "import numpy as np; np.memmap('HIT', mode='w+', shape=(1,))[:] = 1",
        "import pandas as pd; pd.DataFrame({'a': [1]}).to_csv('HIT')",
        "import pandas as pd; pd.DataFrame({'a': [1]}).to_pickle('HIT')",
    ],
    "files by libraries in C": [
        Unseen("import pandas as pd; pd.DataFrame({'a': [1]}).to_parquet('HIT')"),
        Unseen("import polars as pl; pl.DataFrame({'a': [1]}).write_csv('HIT')"),
        Unseen("import polars as pl; pl.DataFrame({'a': [1]}).write_parquet('HIT')"),
        Unseen("import polars as pl; pl.LazyFrame({'a': [1]}).sink_csv('HIT')"),
        Unseen("import pyarrow as pa; pa.OSFile('HIT', 'w').close()"),
        Unseen("import pyarrow.fs as fs; fs.LocalFileSystem().delete_file('HITKEEP')"),
        Unseen("import duckdb; duckdb.sql(\"COPY (SELECT 1) TO 'HIT'\")"),
        Unseen("import duckdb; duckdb.connect('HIT').close()"),
    ],
    "databases": [
        "import sqlite3\nwith sqlite3.connect('HITSQL') as c:\n    c.execute('DROP TABLE b')",
        "import sqlite3; sqlite3.connect('HIT').executescript('CREATE TABLE a (b)')",
        Unseen(
            "import sqlite3; sqlite3.connect(':memory:').execute(\"ATTACH 'HIT' AS x\").execute('CREATE TABLE x.a (b)')"
        ),
        "import pandas as pd, sqlite3; pd.DataFrame({'a': [1]}).to_sql('t', sqlite3.connect('HITSQL'))",
        "import sqlalchemy as sa\nwith sa.create_engine('sqlite:///HITSQL').begin() as c:\n    c.exec_driver_sql('DELETE FROM b')",
        Unseen("import duckdb; duckdb.connect('HITDUCK').execute('INSERT INTO t VALUES (1)')"),
    ],
    "programs": [
        "import subprocess; subprocess.run(['touch', 'HIT'])",
        "import os; os.system('touch HIT')",
        "import os; os.popen('touch HIT').close()",
        "import os; os.spawnlp(os.P_WAIT, 'touch', 'touch', 'HIT')",
        "import os; os.posix_spawn('/usr/bin/touch', ['touch', 'HIT'], {})\nos.wait()",
        "import os; os.execvp('touch', ['touch', 'HIT'])",
        f"import os\nif os.fork() == 0:\n    {_WRITES}\n    os._exit(0)\nos.wait()",
        "import pty; pty.spawn(['touch', 'HIT'])",
        "import multiprocessing as m\np = m.get_context('fork').Process(target=open, args=('HIT', 'w'))\np.start(); p.join()",
        "import asyncio\nawait (await asyncio.create_subprocess_exec('touch', 'HIT')).wait()",
        Unseen(
            "import _posixsubprocess as p, os\na, b = os.pipe()\n"
            "p.fork_exec([b'touch', b'HIT'], [b'/usr/bin/touch'], True, (b,), None, None, -1, -1, -1, -1, -1, -1, a, b, "
            "True, False, -1, None, None, None, -1, None, False)\nos.wait()"
        ),
        "get_ipython().system('touch HIT')",
        "get_ipython().run_cell_magic('bash', '', 'touch HIT')",
        "!touch HIT",
        "%%writefile HIT\nx",
    ],
    "network": [
        "import urllib.request; urllib.request.urlopen('{{server}}')",
        "import socket; socket.create_connection('{{server}}'.split('/')[2].split(':'))",
        "import http.client; http.client.HTTPConnection('{{server}}'.split('/')[2]).request('GET', '/')",
        "import requests; requests.get('{{server}}', timeout=1)",
        "import httpx; httpx.get('{{server}}', timeout=1)",
        "import pandas as pd; pd.read_csv('{{server}}/a.csv')",
        "import asyncio; await asyncio.open_connection(*'{{server}}'.split('/')[2].split(':'))",
        Unseen("import duckdb; duckdb.sql(\"INSTALL httpfs FROM '{{server}}'\")"),
        Unseen("import polars as pl; pl.read_parquet('{{server}}/a.parquet')"),
        Unseen(
            "import zmq\ns = zmq.Context().socket(zmq.PUSH); s.connect('tcp://' + '{{server}}'.split('/')[2]); s.poll(300)"
        ),
    ],
    "found by walks": [
        "getattr(__builtins__, 'op' + 'en')('HIT', 'w').close()",
        "import operator; operator.attrgetter('common.os.system')(__import__('pandas').io)('touch HIT')",
        "[c for c in object.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__['system']('touch HIT')",
        "(lambda: 0).__globals__['__builtins__'].__dict__['open']('HIT', 'w').close()",
        "import importlib; importlib.import_module('os').system('touch HIT')",
        "eval(\"__import__('os').system('touch HIT')\")",
        "exec('import os; os.system(\"touch HIT\")')",
        "import pickle; pickle.loads(b\"cposix\\nsystem\\n(S'touch HIT'\\ntR.\")",
        "import timeit; timeit.timeit(\"open('HIT', 'w').close()\", number=1)",
        "import collections; collections.namedtuple.__globals__['_sys'].modules['os'].system('touch HIT')",
    ],
    "once the cell has ended": [
        _CLASS.format(what="del") + "late = Late()",
        _CLASS.format(what="del") + "late = Late(); late.self = late; del late",
        _CLASS.format(what="repr") + "late = Late()\nget_ipython().events.register('post_execute', late.__repr__)",
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, open, 'HIT', 'w')\ndel a",
        Unseen("import weakref\nclass A: pass\na = A()\nweakref.finalize(a, open, 'HIT', 'w')"),
        "import weakref\nclass A: pass\na = A()\nr = weakref.ref(a, lambda _: open('HIT', 'w'))",
        f"import atexit; atexit.register(lambda: {_WRITES})",
        Unseen("import atexit; atexit.register(open, 'HIT', 'w')"),
        f"import gc\ngc.callbacks.append(lambda *_: {_WRITES})",
        f"get_ipython().events.register('post_run_cell', lambda _: {_WRITES})",
        f"get_ipython().events.register('pre_run_cell', lambda _: {_WRITES})",
        "get_ipython().input_transformers_post.append(lambda lines: open('HIT', 'w') and lines)",
        f"def later():\n    {_WRITES}\n    yield\nl = later(); next(l)",
        f"def later():\n    try:\n        yield\n    finally:\n        {_WRITES}\nl = later(); next(l)",
        f"import signal\nsignal.signal(signal.SIGALRM, lambda *_: {_WRITES}); signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "import threading; threading.Event().wait(0.05)",
    ],
    "threads": [
        f"import threading\nt = threading.Thread(target=lambda: {_WRITES})\nt.start(); t.join()",
        f"import threading\nt = threading.Timer(0.01, lambda: {_WRITES})\nt.start(); t.join()",
        "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p:\n    p.submit(open, 'HIT', 'w')",
        f"import _thread, threading\ndone = threading.Event()\n_thread.start_new_thread(lambda: ({_WRITES}, done.set()), ())\n"
        "done.wait(1)",
        f"import asyncio; await asyncio.to_thread(lambda: {_WRITES})",
    ],
    "modules beside the notebook": [
        "import beside",
        "import importlib; importlib.import_module('beside')",
        "import runpy; runpy.run_module('beside')",
        "import runpy; runpy.run_path('beside.py')",
        "%run beside.py",
        "import importlib, beside",
    ],
    "against the net": [
        "import gc\nfrom rsql_magic.agent import net\nnet._watched = None\nopen('HIT', 'w').close()",
        "import operator, sys\noperator.attrgetter('_end')(sys.modules['rsql_magic.agent.net'].ConsentNet)"
        "(type('A', (), {})(), None)\nopen('HIT', 'w').close()",
        "import sys\nm = sys.modules['rsql_magic.agent.net']\nm._EVENTS = {}\nm._read = lambda *_: ('', '')\n"
        + _WRITES,
        "import rsql_magic.agent.net as n\nn._DEVICES = frozenset(['HIT'])\n" + _WRITES,
        "import builtins\nbuiltins.isinstance = lambda *_: True\n" + _WRITES,
        "import sys\nsys._getframe = lambda *_: None\n" + _WRITES,
        "get_ipython().events.trigger('post_run_cell', None)\n" + _WRITES,
        "import sys\ntry:\n    open('HIT', 'w')\nexcept Exception as e:\n    t = e.__traceback__\n"
        "    while t.tb_next:\n        t = t.tb_next\n    print(t.tb_frame.f_globals.update(_watched=None))\n"
        + _WRITES,
        "import threading\nthreading.get_ident = lambda: 0\n" + _WRITES,
        "import os\nos.devnull = 'HIT'\n" + _WRITES,
        "import importlib\nimportlib.reload(__import__('rsql_magic.agent.net', fromlist=['x']))\n" + _WRITES,
        "import sys; sys.audit('rsql.cell.ends')\n" + _WRITES,
        "exec(compile(\"def _find_and_load():\\n    open('HIT', 'w').close()\", '<frozen importlib._bootstrap>', 'exec'))\n"
        "_find_and_load()",
        "exec(compile(\"def _find_and_load():\\n    open('HIT', 'w').close()\", '<frozen importlib._bootstrap>', 'exec'),"
        " d := {'open': open})\nd['_find_and_load']()",
    ],
    "system calls": [
        _C + "libc.open(b'HIT', os.O_CREAT | os.O_WRONLY, 0o600)",
        _C + "libc.fopen(b'HIT', b'w')",
        _C + "libc.system(b'touch HIT')",
        _C + "libc.unlink(b'HITKEEP')",
        _C + "libc.syscall(83, b'HIT', 0o700)",
        Unseen("import cffi\nf = cffi.FFI(); f.cdef('int mkdir(char *, int);'); f.dlopen(None).mkdir(b'HIT', 0o700)"),
        "import ctypes; ctypes.pythonapi.PyRun_SimpleString(b\"open('HIT', 'w')\")",
    ],
}

ORDINARY = [
    "import pandas as pd\npd.DataFrame({'a': [1, 2]}).groupby('a').size()",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "import numpy as np\nfrom sklearn.cluster import KMeans\nKMeans(2, n_init=1).fit(np.eye(4)).labels_",
    "import duckdb, pandas as pd\nd = pd.DataFrame({'a': [1]})\nduckdb.sql('SELECT a FROM d').df()",
    "import sqlite3\nsqlite3.connect(':memory:').execute('SELECT 1').fetchall()",
    "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p:\n    print(list(p.map(abs, [1])))",
    "import asyncio\nawait asyncio.sleep(0)",
    "import polars as pl\npl.DataFrame({'a': [1]}).lazy().select(pl.col('a').sum()).collect()",
    "import altair as alt, pandas as pd\nalt.Chart(pd.DataFrame({'a': [1]})).mark_bar().encode(x='a:Q').to_dict()",
    "try:\n    1 / 0\nexcept ZeroDivisionError:\n    import traceback\n    traceback.print_exc()",
    "open('HITKEEP').read()",
]
