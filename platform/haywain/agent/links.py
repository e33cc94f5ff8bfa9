"""The links of an index page, as device's HTTP servers show their folders."""

from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

LINKS_MAX = 100_000


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def links_below(page: str, url: str) -> list[str]:
    """Return the addresses that a page links to and that lie below its own, each once, in order.

    >>> links_below('<a href="../"><a href="a.csv"><a href="b/"><a href="?C=N"><a href="//x/y">', "http://d/log/")
    ['http://d/log/a.csv', 'http://d/log/b/']
    """
    base = url if url.endswith("/") else url.rpartition("/")[0] + "/"
    parser = _Anchors()
    parser.feed(page)
    parser.close()
    absolute = {urldefrag(joined).url for link in parser.found[:LINKS_MAX] if (joined := _joined(url, link))}
    return sorted(
        link for link in absolute if link.startswith(base) and link != base and not urlsplit(link).query
    )


def _joined(url: str, link: str) -> str:
    try:
        return urljoin(url, link)
    except ValueError:  # no address at all
        return ""
