"""Caps: a file, a function or a template that outgrows its reader is split."""

import ast
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 60
TEMPLATE_LINES = 120


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        f"{path}:{node.lineno} {node.name}: {size} lines"
        for node in functions
        if (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


def test_no_file_is_too_long(sources: list[Path]) -> None:
    assert sources
    assert not [f"{path}: {lines(path)} lines" for path in sources if lines(path) > FILE_LINES]


def test_no_function_is_too_long(sources: list[Path]) -> None:
    assert not [found for path in sources for found in long_functions(path)]


def test_no_template_is_too_long(files: list[Path]) -> None:
    templates = [path for path in files if path.suffix == ".jinja2"]
    assert not [f"{path}: {lines(path)} lines" for path in templates if lines(path) > TEMPLATE_LINES]
