"""Data Transformation: what is to be made of products as they come in, by which operation."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.actor import user_of
from haywain.activity.afterwards import do_afterwards
from haywain.activity.kind import Kind
from haywain.activity.watchers import Watchers
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError, NotFoundError
from haywain.portal_types._linked import check_links, connect_links
from haywain.portal_types._named import claim_name
from haywain.portal_types.data_operation import DataOperation
from haywain.portal_types.data_transformation_line import DataTransformationLine
from haywain.security import SYSTEM, User, require
from haywain.store.database import read_current

if TYPE_CHECKING:
    from haywain.portal import Portal

_KINDS = {"operation": ("Data Operation",)}
OVER = ("invalidated", "deleted")


class DataTransformationProperties(Properties):
    """By which operation."""

    operation: str = Field(
        "", max_length=600, description="Path of a Data Operation that names a kind of work."
    )


class DataTransformation(Document):
    """A recipe: whoever delivers the products that it takes gets a Data Analysis, which does it, once.

    It works while it is validated, with the rights that its owner has at that time: that is who validated
    it, by the token that this was done with.  While it does, neither it nor its lines nor its operation
    change, so that nobody has another's rights by changing them.
    """

    portal_type = "Data Transformation"
    module_id = "data_transformation_module"
    schema = DataTransformationProperties
    line_type, line_property = "Data Transformation Line", "transformation"
    icon = "activity"

    token: str = ""  # path of the Token with which it was validated
    is_systems: bool = False  # validated by the portal itself, or by the owner of its directory

    @property
    def properties(self) -> DataTransformationProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataTransformationProperties)
        return found

    @property
    def _portal(self) -> "Portal":
        return cast("Portal", self._p_jar.portal)

    # -- what it does
    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference; raises InvalidError for an operation that is not there."""
        check_links(self, self.properties, _KINDS)
        self._connect()

    def before_change(self, properties: Properties) -> None:
        """Refuse to do something else while it works; raises InvalidError."""
        assert isinstance(properties, DataTransformationProperties)
        check_links(self, properties, _KINDS)
        if properties.operation != self.properties.operation:
            self.check_changeable()

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        before = self.properties.operation
        super().edit(**changes)
        if before != self.properties.operation and before:
            Watchers.of(self._portal.root).leave(before, self.path)
        self._connect()

    def _connect(self) -> None:
        connect_links(self, _KINDS)
        claim_name(self)
        if self.properties.operation:
            Watchers.of(self._portal.root).watch(self.properties.operation, self.path, is_told=False)

    def check_changeable(self) -> None:
        """Raise InvalidError while it works; conflicts with whoever validates it beside this."""
        read_current(self)
        if self.state == "validated":
            raise InvalidError(
                f"{self.path} is validated: invalidate it first, and validate it again afterwards"
            )

    @property
    def lines(self) -> "list[DataTransformationLine]":
        """Its lines, in the order in which they were made."""
        return list(self._lines())

    def _lines(self) -> Iterator[DataTransformationLine]:
        for path in self.linked("line"):
            try:
                found = self._portal[path]
            except NotFoundError:
                continue
            if isinstance(found, DataTransformationLine) and found.state not in OVER:
                yield found

    def lines_of(self, direction: str) -> "list[DataTransformationLine]":
        """Return the lines of a direction, `in` or `out`."""
        return [line for line in self._lines() if line.properties.direction == direction]

    @property
    def operation(self) -> DataOperation:
        """What it does; raises HaywainError if it is gone."""
        if not self.properties.operation:
            raise InvalidError("operation: say the path of a Data Operation that names a kind of work")
        found = self._portal[self.properties.operation]
        if not isinstance(found, DataOperation) or found.state in OVER:
            raise InvalidError(f"operation: {found.path} is no Data Operation that is to be done")
        return found

    def work(self) -> tuple[Kind, dict[str, Any]]:  # Any: JSON
        """Return the kind of work that is done, and what it is given; raises HaywainError."""
        return self.operation.work(self._portal.site.registry)

    def user(self) -> User:
        """Return who it is done as, loaded anew; raises ForbiddenError if that one is locked or gone."""
        return user_of(self._portal.root, self.owner, self.token, self.is_systems)

    def key_of(self, line: Document) -> str:
        """Return by what the root knows the Data Analysis of a line that delivers."""
        return f"{self.uid} {line.uid}"

    def analysis_of(self, line: Document) -> Document | None:
        """Return the Data Analysis of what a line delivers; None where it is not made yet."""
        return self._portal.root.find("analysis", self.key_of(line))

    def analyses(self, most: int | None = None) -> list[Document]:
        """Return its Data Analyses, at most so many."""
        begin = f"analysis:{self.uid} "
        found = self._portal.root.unique.values(begin, f"{begin}\U0010ffff")
        return list(islice(found, most))

    # -- when it works
    def before_transition(self, name: str) -> None:
        """Refuse to be validated where it could do nothing; raises HaywainError."""
        if name == "validate":
            self._check()

    def after_transition(self, name: str) -> None:
        """Look from now on for what it is to be done to, or no longer."""
        if name == "validate":
            user = self._portal.user
            self.owner, self.token, self.is_systems = user.login, user.token, user is SYSTEM
            self._watch()
            do_afterwards(self, "look_soon", lambda found: cast(DataTransformation, found).look_soon(True))
        else:
            self._leave()

    def look_soon(self, everything: bool = False) -> None:
        """Look for what it is to be done to: something that it takes is delivered.

        Or at `everything`: also what was made before looks, as it may have waited.
        """
        if self.state == "validated":
            options = {"serialization_tag": self.path, "is_kept": False}
            self.activate(dedupe_key="changed", **options).queue("make_analyses", {"everything": everything})

    def _watch(self) -> None:
        for line in self.lines_of("in"):
            Watchers.of(self._portal.root).watch(line.properties.resource, self.path)

    def _leave(self) -> None:
        for line in self._lines():
            Watchers.of(self._portal.root).leave(line.properties.resource, self.path)

    def before_remove(self) -> None:
        """Refuse to be removed while it works; raises InvalidError."""
        self.check_changeable()
        self._leave()
        Watchers.of(self._portal.root).leave(self.properties.operation, self.path)

    def _check(self) -> None:
        """Raise HaywainError for what could not be done, and conflict with whoever changes it beside this."""
        require(self._portal.user, "activity")
        operation = self.operation
        read_current(operation)
        kind, given = operation.work(self._portal.site.registry)
        inputs, outputs = self.lines_of("in"), self.lines_of("out")
        for line in (*inputs, *outputs):
            read_current(line)
            if not line.properties.resource:
                raise InvalidError(f"{line.path} names no Data Product")
        if not inputs:
            raise InvalidError("Add a line for the product that it takes")
        _check_further(kind, given, inputs[1:])
        _check_outputs(kind, inputs, outputs)


def _check_further(
    kind: Kind,
    given: dict[str, Any],
    lines: list[DataTransformationLine],  # Any: JSON
) -> None:
    """Refuse inputs that the kind does not ask for: each behind the first is a parameter, a path."""
    for line in lines:
        name = str(line.reference)
        if name not in kind.parameters.model_fields:
            known = ", ".join(sorted(kind.parameters.model_fields)) or "none"
            raise InvalidError(
                f"{line.path}: the reference of an input behind the first is the parameter of {kind.name}"
                f" that is given its path; {name!r} is none of these: {known}"
            )
        if name in given:
            raise InvalidError(f"{line.path}: the operation says {name} already")


def _check_outputs(
    kind: Kind, inputs: list[DataTransformationLine], outputs: list[DataTransformationLine]
) -> None:
    taken = {line.properties.resource for line in inputs}
    for line in outputs:
        if line.properties.resource in taken:
            raise InvalidError(f"{line.path}: it would take what it makes itself, without an end")
        if line.properties.sink_portal_type != kind.makes:
            makes = f"makes a {kind.makes}" if kind.makes else "makes no document, its result is kept"
            raise InvalidError(f"{line.path}: {kind.name} {makes}, not a {line.properties.sink_portal_type}")
        if line.properties.use == "transient" and not kind.follows:
            raise InvalidError(f"{line.path}: only what goes on where it was can be transient")
    if len(outputs) > 1:
        raise InvalidError(f"{kind.name} makes one {kind.makes}; there are {len(outputs)} lines for it")
    if kind.follows and not outputs:
        raise InvalidError("Add a line for the product that it makes")
