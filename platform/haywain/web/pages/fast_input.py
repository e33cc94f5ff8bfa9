"""Fast input: the form that makes an Ingestion Policy with all it needs, and shows what to copy."""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Module
from haywain.errors import HaywainError
from haywain.ingestion.fast_input import DEFAULT_RULE, add_policy, arrivals
from haywain.web.configurations import configurations_of
from haywain.web.pages.document import form_values, kind_of, refuse
from haywain.web.pages.forms import Field, changed, fields_of, typed, values_of
from haywain.web.pages.page import Values, add_page, href_of, name_of

_HEADING = "New Ingestion Policy"
_FIELDS = ("reference", "title", "rule")


def new(context: Module, request: Request) -> Values:
    """Show the empty form."""
    fields = changed(_fields(context, request), "rule", value=DEFAULT_RULE)
    return form_values(_HEADING, fields, href_of(context.id), submit="Create")


def create(context: Module, request: Request) -> Values | Response:
    """Make policy, product, supply and token; show the secret, which stands nowhere else."""
    fields = typed(_fields(context, request), request.POST)
    try:
        made = add_policy(request.portal, **values_of(fields))
    except HaywainError as error:
        return refuse(request, error, _HEADING, fields, href_of(context.id), "Create")
    request.response.cache_control = "no-store"
    request.override_renderer = "haywain:templates/ingestion_policy_made.jinja2"
    return {
        "name": name_of(made.policy),
        "href": href_of(made.policy.path),
        "secret": made.secret,
        "token_href": href_of(made.token.path),
        "arrivals": arrivals(request.portal, made.policy),
        "sinks": (),
        "configurations": configurations_of(request, made.policy, made.secret),
    }


def _fields(module: Module, request: Request) -> list[Field]:
    rules = request.site.registry.ingestion_policies
    told = "; ".join(
        f"{name}: {rule.title[:1].lower()}{rule.title[1:]}" for name, rule in sorted(rules.items())
    )
    fields = [one for one in fields_of(kind_of(module, request).schema) if one.name in _FIELDS]
    hint = "What stands in the address; also the name of its product, its supply and its token."
    fields = changed(fields, "reference", is_required=True, hint=hint)
    return changed(fields, "rule", control="select", choices=tuple(sorted(rules)), hint=f"{told}.")


def includeme(config: Configurator) -> None:
    """Register the form."""
    kind = {"portal_type": "Ingestion Policy", "permission": "edit"}
    add_page(config, new, "form", context=Module, name="new", **kind)
    add_page(config, create, "form", context=Module, name="new", request_method="POST", **kind)
