"""
Which names a piece of text takes from outside itself.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator


def global_names(text: str) -> set[str]:
    """The names that a text refers to outside its functions' own; annotations do not count."""
    table = symtable.symtable(text, "<text>", "exec")
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    for inner in _inner(table):
        found |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
    return found - {"annotations"}


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        # From Python 3.14 on annotations have a scope of their own.
        if "annotation" not in str(child.get_type()).lower():
            yield child
            yield from _inner(child)


def class_annotations(node: ast.stmt) -> set[str]:
    """The names in the annotations of a class's fields, which some classes evaluate."""
    fields = [one for one in ast.walk(node) if isinstance(one, ast.ClassDef)]
    annotations = [
        statement.annotation
        for one in fields
        for statement in one.body
        if isinstance(statement, ast.AnnAssign)
    ]
    return {
        one.id
        for annotation in annotations
        for one in ast.walk(annotation)
        if isinstance(one, ast.Name)
    }


def line_of(node: ast.stmt, name: str) -> int:
    """The first line in a statement where a name stands."""
    lines = [one.lineno for one in ast.walk(node) if isinstance(one, ast.Name) and one.id == name]
    return min(lines, default=node.lineno)
