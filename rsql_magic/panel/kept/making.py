"""The artifacts of an answer: a query with its rows and its chart, scripts of its code, pictures that code drew."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from functools import lru_cache, partial
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.answers import Answer
from rsql_magic.display import charts, safe_markdown
from rsql_magic.errors import BadInput
from rsql_magic.gateway import blocks_of
from rsql_magic.panel.kept.artifacts import CutQuery, NewArtifact
from rsql_magic.panel.kept.images import is_png
from rsql_magic.panel.threads import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

    from rsql_magic.answers import Study
    from rsql_magic.databases import Rows
    from rsql_magic.panel.kept.artifacts import Artifact
    from rsql_magic.panel.threads import MessagePair
    from rsql_magic.text2sql import SQLResult

_SCRIPTS = {"python": ("py", "text/x-python"), "r": ("R", "text/x-r"), "sql": ("sql", "application/sql")}
CSV = "text/csv"
_VEGALITE = "application/vnd.vegalite.v5+json"


def of_result(pair: MessagePair, result: SQLResult, connection: str | None = None) -> list[NewArtifact]:
    """The query, its rows as Parquet or CSV, and its chart as Vega-Lite and, where that can be drawn, as PNG.

    ``connection`` is the query's, as one would name it; None for one that cannot be named.
    """
    name, made = _file_name(result.question or pair.question), list[NewArtifact]()

    def add(kind: str, ending: str, media: str, content: Callable[[], bytes]) -> None:
        made.append(NewArtifact(new_id(), pair.id, kind, f"{name}{ending}", media, content))

    question = " ".join(result.question.split())
    add("sql", ".sql", "application/sql", partial(_text, f"-- {question}\n{result.sql.rstrip(';')};\n"))
    if result.df is not None:
        query = None
        if result.truncated and connection is not None:
            query = CutQuery(result.sql, result.dialect, connection, result.database)
        made.append(_rows(name, _own(result.frame), result.count, query, id_=new_id(), pair=pair.id))
    if (drawing := result.drawing) is not None:
        add("chart", ".vl.json", _VEGALITE, lambda: json.dumps(drawing, default=str).encode())
        if find_spec("vl_convert") is not None:
            add("picture", ".png", "image/png", lambda: charts.picture(drawing, "png"))
    return made


def of_answer(pair: MessagePair, answer: Answer | SQLResult, connection: str | None = None) -> list[NewArtifact]:
    """What an answer in a cell made: a pair in the conversation holds less of it than the cell."""
    return of_code(pair, answer.text) if isinstance(answer, Answer) else of_result(pair, answer, connection)


def of_all_rows(cut: Artifact, rows: Rows) -> NewArtifact:
    """All rows of a query of which a file holds the first; asked for again, they take the same file's place."""
    again = sha256(f"all rows of {cut.id}".encode()).hexdigest()[:12]
    name = re.sub(r"-first-\d+-rows\.\w+$", "", cut.name)
    query = cut.query if rows.truncated else None
    return _rows(name, rows.df, rows.count, query, id_=again, pair=cut.pair)


def _rows(name: str, frame: pd.DataFrame, count: str, query: CutQuery | None, *, id_: str, pair: str) -> NewArtifact:
    ending, media, write = _table(frame)
    cut = f"-first-{len(frame)}-rows" if count.startswith("first") else ""  # its name says so wherever it is saved
    return NewArtifact(id_, pair, "table", f"{name}{cut}.{ending}", media, write, count, query)


def of_code(pair: MessagePair, text: str = "") -> list[NewArtifact]:
    """The code of an answer, or of the whole ``text`` of it, a script for each language."""
    scripts: dict[str, list[str]] = {}
    for block in blocks_of(text or pair.answer):
        if block.language in _SCRIPTS and block.code.strip():
            scripts.setdefault(block.language, []).append(block.code.strip("\n"))
    name = _file_name(pair.topic or pair.question)
    return [
        NewArtifact(new_id(), pair.id, "script", f"{name}.{ending}", media, partial(_text, "\n\n".join(blocks) + "\n"))
        for language, blocks in scripts.items()
        for ending, media in [_SCRIPTS[language]]
    ]


def of_outputs(pair: MessagePair, outputs: Iterable[Mapping[str, Any]]) -> list[NewArtifact]:
    """The pictures among the outputs of code that was run."""
    images = [str(each["data"]) for each in outputs if each.get("kind") == "image"]
    return [_picture(pair, partial(b64decode, data), n) for n, data in enumerate(images, 1)]


def of_picture(pair: MessagePair, data: str, number: int) -> NewArtifact:
    """A picture that a view saw a cell draw, in base64.

    Raises:
        BadInput: It is no PNG.
    """
    try:
        png = b64decode(data)
    except (TypeError, ValueError):
        png = b""
    if not is_png(png):
        raise BadInput("A picture of the cells is not kept: it is no PNG.", hint="It stands in the notebook.")
    return _picture(pair, lambda: png, number)


def _picture(pair: MessagePair, content: Callable[[], bytes], number: int) -> NewArtifact:
    name = f"{_file_name(pair.topic or pair.question)}-{number}.png"
    return NewArtifact(new_id(), pair.id, "picture", name, "image/png", content)


def of_study(pair: MessagePair, study: Study) -> list[NewArtifact]:
    """A study sheet as JSON, which is opened again with what was answered; a summary as Markdown."""
    name = _file_name(study.sheet.title or pair.question)
    if study.sheet.kind == "summary":
        text = partial(_text, f"{safe_markdown(str(study))}\n")
        return [NewArtifact(new_id(), pair.id, "report", f"{name}.md", "text/markdown", text)]
    sheet = partial(msgspec.json.encode, study.sheet)
    return [NewArtifact(new_id(), pair.id, "study", f"{name}.{study.sheet.kind}.json", "application/json", sheet)]


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _file_name(question: str) -> str:
    words = re.findall(r"\w+", re.sub(r"^/\w+ ", "", question).lower())
    return "-".join(words[:6])[:60] or "answer"


# The user's own frame is theirs to change; pandas 3 copies what is changed, and no more.
def _own(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return frame.copy(deep=int(pd.__version__.partition(".")[0]) < 3)


def _table(frame: pd.DataFrame) -> tuple[str, str, Callable[[], bytes]]:
    if find_spec("pyarrow") is None:
        return "csv", CSV, partial(_csv, frame)
    return "parquet", "application/vnd.apache.parquet", partial(_parquet, frame)


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode("utf-8", "replace")


@lru_cache(maxsize=1)  # it is downloaded in pieces
def as_csv(parquet: bytes) -> bytes:
    """The rows of a Parquet file as CSV, as pandas writes it."""
    import pandas as pd

    return _csv(pd.read_parquet(io.BytesIO(parquet)))


def _parquet(frame: pd.DataFrame) -> bytes:
    def written(some: pd.DataFrame) -> bytes:
        some.to_parquet(file := io.BytesIO(), index=False)
        return file.getvalue()

    try:
        return written(frame)
    except (TypeError, ValueError):  # as those of Arrow are
        return written(_as_texts(frame))


# What Parquet has no type for, such as a column of mixed values, as text; and each name once.
def _as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    texts: pd.DataFrame = frame.apply(
        lambda column: column.map(str, na_action="ignore") if column.dtype.kind == "O" else column
    )
    names: list[str] = []
    for name in map(str, frame.columns):
        names.append(name if name not in names else f"{name}.{len(names)}")
    texts.columns = names
    return texts
