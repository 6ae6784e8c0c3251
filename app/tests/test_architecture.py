"""What the house's rules say and imports cannot show."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.orm import RelationshipProperty

from app.core.exceptions import Problem
from app.core.settings import PROJECT
from app.models import Base

APP = PROJECT / "app"

OF_A_SESSION = {
    *("add", "add_all", "begin", "begin_nested", "commit", "delete", "execute", "flush", "get", "merge"),
    *("refresh", "rollback", "scalar", "scalars"),
}


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (APP / folder).rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (receiver, method) of every call of a method in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def subclasses(kind: type[Problem]) -> Iterator[type[Problem]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(APP)) for path in paths]


@pytest.mark.parametrize("path", modules("crud"), ids=lambda path: path.stem)
def test_crud_never_ends_a_transaction(path: Path) -> None:
    assert [call for call in calls(path) if call[1] in {"commit", "rollback", "close"}] == []


@pytest.mark.parametrize("path", modules("crud"), ids=lambda path: path.stem)
def test_crud_never_refuses(path: Path) -> None:
    imported = [
        node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    ]
    assert "app.core.exceptions" not in imported


@pytest.mark.parametrize("path", modules("services", "routers"), ids=lambda path: path.stem)
def test_services_and_routers_call_no_method_of_db(path: Path) -> None:
    assert [call for call in calls(path) if call[0] == "db" and call[1] in OF_A_SESSION] == []


@pytest.mark.parametrize("path", modules("routers"), ids=lambda path: path.stem)
def test_routers_decide_nothing(path: Path) -> None:
    source = ast.parse(path.read_text())
    deciding = (ast.If, ast.IfExp, ast.Try, ast.For, ast.While, ast.Match, ast.Raise)
    assert [node.lineno for node in ast.walk(source) if isinstance(node, deciding)] == []


@pytest.mark.parametrize("path", modules("routers"), ids=lambda path: path.stem)
def test_every_route_makes_at_most_one_call_into_a_service(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            found = re.findall(r"services\.\w+\.\w+\(", ast.unparse(function))
            assert len(found) <= 1, function.name


def test_only_the_core_begins_and_ends_transactions() -> None:
    everywhere = [path for path in modules(".") if "tests" not in path.parts]
    ending = [path for path in everywhere if {"commit", "rollback"} & {method for _, method in calls(path)}]
    assert named(ending) == ["core/database.py"]


def test_no_relationship_loads_by_surprise() -> None:
    loud = [
        str(prop)
        for mapper in Base.registry.mappers
        for prop in mapper.attrs
        if isinstance(prop, RelationshipProperty) and prop.lazy != "raise"
    ]
    assert loud == []


def test_the_tree_of_problems_is_drawn_as_it_is() -> None:
    drawing = (APP / "core" / "exceptions.py").read_text().split('"""')[1]
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)", drawing.split("\n\n")[1], flags=re.MULTILINE)
    assert sorted(drawn) == sorted({"Problem", *(kind.__name__ for kind in subclasses(Problem))})


def test_every_problem_says_what_to_do() -> None:
    for kind in subclasses(Problem):
        assert isinstance(kind, type)
        sentence = kind().args[0]
        assert sentence.endswith("."), kind
        assert len(sentence.split()) >= 4, kind


def test_operation_ids_are_unique(app: FastAPI) -> None:
    document = app.openapi()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_routes_that_wait_for_the_database_never_run_on_the_event_loop() -> None:
    """A route that takes a transaction is a plain function, so that it runs in a thread."""
    routes = [
        route
        for path in modules("routers")
        for route in getattr(import_module(f"app.routers.{path.stem}"), "router", APIRouter()).routes
        if isinstance(route, APIRoute) and "db" in inspect.signature(route.endpoint).parameters
    ]
    assert len(routes) > 30
    waiting = [route.path for route in routes if inspect.iscoroutinefunction(route.endpoint)]
    assert waiting == []


def test_models_are_singular_and_the_other_layers_plural() -> None:
    plural = {path.stem for path in modules("routers", "services", "crud") if path.stem != "__init__"}
    assert {
        stem for stem in plural if not stem.endswith("s") and stem not in {"auth", "health", "idempotency"}
    } == set()
