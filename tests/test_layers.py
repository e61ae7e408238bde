"""The floors of the house, read from the source: what each package may import."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LIGHT = {"pydantic", "numpy", "scipy"}  # core needs them, so every floor above has paid for them already
HOUSE = {"core", "resources", "wrappers", "assets", "serve", "sensors", "stages"}

# package | ours it may import | third parties at module level besides the light ones, None where all but heavy ones may
FLOORS: dict[str, tuple[set[str], set[str] | None]] = {
    "core": (set(), set()),
    "resources": ({"core"}, {"sqlalchemy", "alembic", "pyarrow", "pydantic_settings", "dotenv", "httpx", "rensa"}),
    "wrappers": ({"core"}, set()),
    "assets": ({"core", "resources", "wrappers"}, {"dagster"}),
    "serve": (
        {"core", "resources", "wrappers"},
        {"ray", "fastapi", "starlette", "uvicorn", "prometheus_client", "httpx", "python_multipart"},
    ),
    "stages": ({"core", "resources", "wrappers"}, set()),
    "sensors": ({"core", "resources", "wrappers", "assets"}, {"dagster"}),
    "definitions.py": ({"core", "resources", "wrappers", "assets", "sensors"}, None),
    "train.py": ({"core", "resources", "wrappers", "stages"}, None),
    "deploy": (HOUSE, None),
    "bench": (HOUSE | {"deploy"}, None),
}
OURS = {name.removesuffix(".py") for name in FLOORS} | {"tests"}
HEAVY = {"torch", "transformers", "peft", "vllm", "mlflow", "matplotlib", "duckdb", "great_expectations",
         "dagster_mlflow", "langgraph"}  # fmt: skip
LOADED_BY_VLLM = {("serve/resting_executor.py", "vllm")}  # nobody of ours imports it


def files(package: str) -> list[Path]:
    path = ROOT / package
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The top package of everything imported; a relative import counts as the package named '.'."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else (node.module or "").partition(".")[0]


def at_module_level(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not types_only(child):
            yield child
            yield from at_module_level(child)


def types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def faults(package: str, source: str) -> list[str]:
    below, allowed = FLOORS[package]
    own = package.removesuffix(".py")
    tree = ast.parse(source)
    ours = {name for name in imports(ast.walk(tree)) if name in OURS | {"."}} - below - {own}
    third = set(imports(at_module_level(tree))) - OURS - {"."} - sys.stdlib_module_names
    return sorted(ours | (third & HEAVY) | (third - LIGHT - allowed if allowed is not None else set()))


@pytest.mark.parametrize("package", FLOORS)
def test_a_floor_imports_only_the_floors_below_it(package: str) -> None:
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in files(package) if path.exists()
             for name in faults(package, path.read_text())
             if (str(path.relative_to(ROOT)), name) not in LOADED_BY_VLLM]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("core", "import sqlalchemy"),
        ("core", "def f():\n    from resources.store import Store"),
        ("assets", "from serve.app import build"),
        ("serve", "def f():\n    import assets.models"),
        ("resources", "from wrappers.lora import Lora"),
        ("wrappers", "from resources.store import Store"),
        ("assets", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("serve", "class Engine:\n    import vllm"),
        ("train.py", "import torch"),
        ("core", "from . import conversation"),
    ],
)
def test_the_check_itself_finds_a_wrong_import(package: str, source: str) -> None:
    assert faults(package, source)


def test_what_is_allowed_is_not_reported() -> None:
    assert not faults("wrappers", "import os\nfrom core.recipe import Recipe\ndef f():\n    import torch")
    assert not faults(
        "serve", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import vllm\nfrom serve.auth import x"
    )


def test_no_package_is_forgotten() -> None:
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert found <= OURS
