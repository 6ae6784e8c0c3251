"""Answers kept under keys."""

from app.crud.idempotency import delete_expired as forget_expired

__all__ = ["forget_expired"]
