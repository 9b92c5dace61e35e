"""The package's HTML templates, rendered strictly: an undefined name is an error, text is escaped."""

import importlib.resources
from collections.abc import Mapping
from typing import Any

import jinja2

__all__ = ["render"]


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from a template that lies beside this file."""
    folder = importlib.resources.files("jaxpr.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
