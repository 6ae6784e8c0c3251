"""Swagger UI and ReDoc from files that the app serves itself, under a policy that lets nothing else run."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
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

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


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

    A policy names the page's one inline script by its hash; ReDoc's worker comes from a blob.
    """
    app.mount(ASSETS, StaticFiles(directory=_assets()), name="docs-assets")
    policies = {}
    for path, page in _pages(app, openapi_url).items():
        app.add_api_route(path, _answering(page), include_in_schema=False, name=f"docs{path}")
        policies[path] = _policy(bytes(page.body).decode())
    return policies


def _answering(page: HTMLResponse) -> Callable[[], Awaitable[HTMLResponse]]:
    async def show() -> HTMLResponse:
        # One for each request: the middleware writes its headers into it.
        return HTMLResponse(page.body)

    return show


def _policy(html: str) -> str:
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _SCRIPT.findall(html)
    ]
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *hashes]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src blob:",
            "frame-ancestors 'none'",
        ]
    )
