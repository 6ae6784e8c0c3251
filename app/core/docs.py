"""Swagger UI and ReDoc from files that the app serves itself, under a policy that lets nothing else run."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import (
    get_redoc_html,
    get_swagger_ui_html,
    get_swagger_ui_oauth2_redirect_html,
)
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"

# Of the style elements that ReDoc makes while it runs: an empty one, which it fills rule by rule, and its
# scroll bars' own.
REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def _assets() -> Path:
    package = find_spec("fastapi_offline")
    if package is None or package.origin is None:
        raise RuntimeError(
            "the package fastapi-offline, which carries the files of Swagger UI, is not installed"
        )
    return Path(package.origin).parent / "static"


def _pages(app: FastAPI, openapi_url: str) -> dict[str, HTMLResponse]:
    icon = f"{ASSETS}/favicon.png"
    return {
        "/docs": get_swagger_ui_html(
            openapi_url=openapi_url,
            title=f"{app.title}: Swagger UI",
            oauth2_redirect_url="/docs/oauth2-redirect",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=icon,
            swagger_ui_parameters={
                "persistAuthorization": True,
                "displayRequestDuration": True,
            },
        ),
        "/docs/oauth2-redirect": get_swagger_ui_oauth2_redirect_html(),
        "/redoc": get_redoc_html(
            openapi_url=openapi_url,
            title=f"{app.title}: ReDoc",
            redoc_js_url=f"{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=icon,
            with_google_fonts=False,
        ),
    }


def serve_docs(app: FastAPI, openapi_url: str) -> dict[str, str]:
    """Add the pages to ``app`` and return the content security policy of each, by path.

    A policy names the page's own script and style by their hashes; ReDoc's worker comes from a blob.
    """
    app.mount(ASSETS, StaticFiles(directory=_assets()), name="docs-assets")
    policies = {}
    for path, page in _pages(app, openapi_url).items():
        app.add_api_route(path, _answering(page), include_in_schema=False, name=f"docs{path}")
        policies[path] = _policy(bytes(page.body).decode(), REDOC_STYLES if path == "/redoc" else ())
    return policies


def _answering(page: HTMLResponse) -> Callable[[], Awaitable[HTMLResponse]]:
    async def show() -> HTMLResponse:
        # One for each request: the middleware writes its headers into it.
        return HTMLResponse(page.body)

    return show


def _policy(html: str, styles: Sequence[str]) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *map(_hash, _SCRIPT.findall(html))]),
            " ".join(["style-src 'self'", *map(_hash, _STYLE.findall(html)), *styles]),
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
