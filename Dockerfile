# syntax=docker/dockerfile:1

FROM python:3.13-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_CACHE_DIR=1 \
    POETRY_NO_INTERACTION=1

RUN pip install poetry==2.5.1

WORKDIR /srv

# The dependencies change less often than the code: a layer of their own.
# poetry.toml keeps the environment in /srv/.venv.
COPY pyproject.toml poetry.lock poetry.toml ./
RUN poetry install --only main --no-root --no-cache --compile

COPY README.md alembic.ini ./
COPY alembic alembic
COPY app app
RUN poetry install --only main --no-cache --compile \
    && python -m compileall -q app


FROM python:3.13-slim

# The number is fixed so that volumes and cluster policies can name the user. A
# named volume mounted on the directory takes over its owner.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin mis-eventos \
    && install --directory --owner mis-eventos --group mis-eventos --mode 0700 /var/lib/mis-eventos

ENV ENV=prod \
    PATH=/srv/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /srv

# The environment points at its own path, so it stays at the one it was made at.
COPY --from=builder /srv/.venv .venv
COPY --from=builder /srv/pyproject.toml /srv/alembic.ini ./
COPY --from=builder /srv/alembic alembic
COPY --from=builder /srv/app app

USER 10001:10001

EXPOSE 8000

STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]

CMD ["events", "serve", "--host", "0.0.0.0", "--port", "8000"]
