"""The queue in front of something scarce."""

import anyio
import pytest

from app.core.exceptions import Overloaded
from app.core.gate import Gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def hold(gate: Gate, leave: anyio.Event) -> None:
    async with gate:
        await leave.wait()


async def test_those_who_wait_are_let_in_in_the_order_they_came() -> None:
    gate, leave = Gate(1, 10), anyio.Event()
    served: list[int] = []

    async def visit(number: int) -> None:
        async with gate:
            served.append(number)

    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        await anyio.wait_all_tasks_blocked()
        for number in range(10):
            group.start_soon(visit, number)
            await anyio.wait_all_tasks_blocked()
        assert (gate.inside, gate.waiting, served) == (1, 10, [])
        leave.set()
    assert (gate.inside, gate.waiting, served) == (0, 0, list(range(10)))


async def test_no_more_are_inside_than_the_gate_is_wide() -> None:
    gate, inside, most = Gate(3, 100), 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate:
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(visit)
    assert (inside, most) == (0, 3)


@pytest.mark.parametrize(("width", "queue"), [(1, 0), (1, 2), (3, 2)])
async def test_past_the_queue_one_is_refused_at_once(width: int, queue: int) -> None:
    gate, leave = Gate(width, queue), anyio.Event()
    async with anyio.create_task_group() as group:
        for _ in range(width + queue):
            group.start_soon(hold, gate, leave)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            async with gate:
                pass
        assert (gate.inside, gate.waiting) == (width, queue)
        leave.set()
    async with gate:
        assert gate.inside == 1


async def test_many_who_come_in_the_same_moment_are_not_refused_while_there_is_room() -> None:
    gate, leave = Gate(2, 3), anyio.Event()
    refused = 0

    async def visit() -> None:
        nonlocal refused
        try:
            await hold(gate, leave)
        except Overloaded:
            refused += 1

    async with anyio.create_task_group() as group:
        for _ in range(7):
            group.start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        leave.set()
    assert refused == 2


async def test_an_error_inside_gives_the_place_back() -> None:
    gate = Gate(1, 0)
    with pytest.raises(ValueError, match="inside"):
        async with gate:
            raise ValueError("inside")
    assert gate.inside == 0


async def test_a_cancelled_visitor_gives_up_its_place_inside_and_in_the_queue() -> None:
    gate, leave = Gate(1, 5), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            await hold(gate, leave)
        assert (gate.inside, gate.waiting) == (1, 0)
        group.cancel_scope.cancel()
    assert (gate.inside, gate.waiting) == (0, 0)
