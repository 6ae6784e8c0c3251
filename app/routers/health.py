"""Whether the service is up, for load balancers and container platforms."""

from fastapi import APIRouter

from app import services
from app.core.exceptions import NotMigrated, ReadOnlyDatabase, Stopping, Unavailable
from app.core.problems import problems
from app.dependencies.database import StoreOfApp
from app.dependencies.draining import IsStopping
from app.schemas.health import Health

router = APIRouter(prefix="/health", tags=["Health"])


@router.get("/live", summary="Is the process up?")
async def live() -> Health:
    """Answer as long as the process runs."""
    return services.health.alive()


@router.get(
    "/ready",
    summary="Can it serve?",
    responses=problems(Unavailable, NotMigrated, ReadOnlyDatabase, Stopping),
)
def ready(store: StoreOfApp, stopping: IsStopping) -> Health:
    """Answer 200 when the database can be reached, takes writes and has the schema that this release needs.

    A process that was asked to stop says no, so that a load balancer sends nobody more.
    """
    return services.health.check(store, stopping=stopping)
