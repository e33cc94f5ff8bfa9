"""Model: an estimator of scikit-learn that was trained, and on what."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from haywain import clock
from haywain.activity.product import edition_of
from haywain.analysis import skops_file
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IByteStream
from haywain.store.database import tid_of
from haywain.store.stream import Stream

Estimator = Any
"""One of scikit-learn, which has no types."""


@implementer(IByteStream)
class Model(Document):
    """A trained estimator as a skops file, never a pickle, with where it comes from.

    Its category `source` names what it was trained on, `prediction` what it has predicted.
    """

    portal_type = "Model"
    module_id = "model_module"
    is_addable = False
    icon = "array"

    content_type = "application/zip"  # what skops writes
    _told = "{}"  # JSON, replaced as a whole

    def __init__(self, /, **properties: object) -> None:
        """Begin without an estimator."""
        super().__init__(**properties)
        self._stream = Stream()

    def save(
        self,
        estimator: Estimator,
        *,
        source: Document | Sequence[Document] = (),
        features: Sequence[str] = (),
        target: str = "",
        scores: Mapping[str, float] | None = None,
        rows: int | None = None,
        activity: str = "",
    ) -> None:
        """Keep a trained estimator in place of the one there was, and what there is to tell of it.

        `source` is what it was trained on, `features` and `target` the names of its columns, `rows`
        how many of its rows were read, all if it is not said, `activity` the id of what trained it.  Raises
        InvalidError for an estimator that could not be loaded again.
        """
        sources = [source] if isinstance(source, Document) else list(source)
        data = skops_file.dump(estimator)
        told = {
            "estimator": type(estimator).__name__,
            "parameters": _parameters(estimator),
            "features": list(features),
            "target": target,
            "scores": dict(scores or {}),
            "sources": [_source(one, rows) for one in sources],
            "trained": clock.iso(clock.now_s()),
            "activity": activity,
            "versions": skops_file.versions(),
        }
        self._told = json.dumps(told, allow_nan=False)
        self.categories = tuple(one for one in self.categories if one[0] != "source")
        for one in sources:
            self.link("source", one)
        self._stream.replace()
        self._stream.append(data)
        self.reindex()

    def load(self) -> Estimator:
        """Return the estimator; raises InvalidError if there is none, or for types that are not trusted."""
        if not self.size:
            raise InvalidError(f"{self.path} has no estimator yet: save one")
        return skops_file.load(self.read())

    @property
    def provenance(self) -> dict[str, Any]:  # Any: JSON
        """Estimator, parameters, features, target, scores, sources, when, by which activity, versions."""
        found: dict[str, Any] = json.loads(self._told)
        return found

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns it takes; empty if they were not said."""
        return tuple(self.provenance.get("features", ()))

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it."""
        return super().as_dict() | {"provenance": self.provenance}

    # -- the file
    @property
    def filename(self) -> str:
        """What the file is called where it is downloaded."""
        return f"{self.reference or self.id}.skops"

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._stream.size

    @property
    def modified(self) -> float:
        """When estimator or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, self._stream.modified)

    @property
    def etag(self) -> str:
        """A strong entity tag; it changes with the bytes."""
        self._stream._p_activate()
        return f"{tid_of(self._stream)}-{self.size:x}"

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop) of the file, or fewer where they end."""
        return self._stream.read(start, stop)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces."""
        return self._stream.chunks(start, stop)

    def open(self) -> io.BufferedReader:
        """Return a seekable file over the bytes."""
        return self._stream.open()


def _source(document: Document, count: int | None) -> dict[str, Any]:  # Any: JSON
    """Return which document it was, and as of when; the rows of one that has no array are null."""
    rows = getattr(document, "shape", None) if getattr(document, "is_created", False) else None
    return {
        "path": document.path,
        "edition": edition_of(document),
        "tid": getattr(document, "rows_tid", ""),
        "rows": count if count is not None or not rows else int(rows[0]),
    }


def _parameters(estimator: Estimator) -> dict[str, Any]:  # Any: JSON
    """Return the parameters, those of its parts too; what JSON does not have as Python writes it."""
    found = estimator.get_params()
    parts = {name for name, value in found.items() if hasattr(value, "get_params")}
    return {
        name: _json(value)
        for name, value in sorted(found.items())
        if name not in parts and name not in ("steps", "transformers")
    }


def _json(value: Any) -> Any:  # Any: of whatever type
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)[:1000]
