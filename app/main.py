"""The application, for a server to run: ``uvicorn app.main:app``."""

from app.api import create_app
from app.core import heap

app = create_app()
heap.settle()
