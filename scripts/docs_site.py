"""What mkdocs asks for each page of the site, whose links may lead out of docs/ to files of the repository.

A notebook of the gallery becomes its executed page, which ``make docs`` puts into the site; of others stands the path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
GALLERY = ROOT / "notebooks" / "gallery"
_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """A page's text, in which a link that leads out of docs/ is its words and the file's path.

    Raises:
        FileNotFoundError: There is no such file.
    """
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def outside(link: re.Match[str]) -> str:
        file = (folder / link[2]).resolve()
        if file.is_relative_to(ROOT / "docs"):
            return link[0]
        if not file.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {link[2]}, which is not there")
        if file.parent == GALLERY:
            return f'<a href="gallery/{file.stem}.html">{link[1]}</a>'
        path = f"`{file.relative_to(ROOT)}`"
        return path if link[1].strip("`") in path else f"{link[1]} ({path})"

    return _LINK.sub(outside, markdown)
