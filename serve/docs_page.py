"""The API page at /docs, without any outside host."""

import importlib.util
from html import escape
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

# vLLM ships Swagger's files; finding its folder does not import it
_SWAGGER = Path("entrypoints/serve/instrumentator/static")


def add_docs(app: FastAPI) -> None:
    """Swagger where its files are installed, else a plain list of the routes."""
    folder = _swagger_folder()
    if folder is not None:
        app.mount("/docs/static", StaticFiles(directory=folder), name="docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _swagger(app) if folder is not None else HTMLResponse(plain_page(app))


def _swagger_folder() -> Path | None:
    spec = importlib.util.find_spec("vllm")
    for home in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(home) / _SWAGGER / "swagger-ui-bundle.js").is_file():
            return Path(home) / _SWAGGER
    return None


def _swagger(app: FastAPI) -> Response:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url="/docs/static/swagger-ui-bundle.js",
        swagger_css_url="/docs/static/swagger-ui.css",
        swagger_favicon_url="data:,",
    )


def plain_page(app: FastAPI) -> str:
    """Every route with its one line, from the OpenAPI schema."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{escape(route['summary'])}</td></tr>"
        for path, routes in app.openapi()["paths"].items()
        for method, route in routes.items()
    )
    title = escape(app.title)
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>"
        f"<p>Schema: <a href=/openapi.json>openapi.json</a></p><table>{rows}</table>"
    )
