"""Pages for people: one module a page, each registers itself."""

from pyramid.config import Configurator

_MODULES = (
    "page",
    "assets",
    "chrome",
    "home",
    "modules",
    "document",
    "data_stream",
    "data_bucket_stream",
    "data_array",
    "plot",
    "image",
    "model",
    "bulk",
    "activities",
    "workers",
    "job",
    "schedule",
    "data_analysis",
    "data_transformation",
    "alert",
    "runs",
    "policies",
    "fast_input",
    "quarantine",
    "people",
    "tokens",
)


def includeme(config: Configurator) -> None:
    """Register all pages."""
    for name in _MODULES:
        config.include(f"{__name__}.{name}")
