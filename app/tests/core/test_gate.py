"""The queue in front of something scarce."""

from collections.abc import Sequence

import anyio
import pytest

from app.core.exceptions import Overloaded
from app.core.gate import Gate, Lane, Threads

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


# Nobody waits in vain


async def test_whoever_has_waited_for_too_long_is_refused_and_leaves_the_queue() -> None:
    gate, leave = Gate(1, 10, patience=0.05), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        with pytest.raises(Overloaded):
            async with gate:
                pass
        assert 0.04 < anyio.current_time() - began < 5
        assert (gate.inside, gate.waiting) == (1, 0)
        leave.set()
    async with gate:
        assert gate.inside == 1


async def turns(gate: Gate, number: int, seconds: float) -> None:
    """Let ``number`` visitors stay for ``seconds`` each."""

    async def visit() -> None:
        async with gate:
            await anyio.sleep(seconds)

    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(visit)


async def test_whoever_would_wait_for_too_long_is_refused_on_arrival() -> None:
    gate, leave = Gate(1, 1_000, patience=0.5), anyio.Event()
    for _ in range(3):
        await turns(gate, 10, 0.02)
    served = refused = 0

    async def visit() -> None:
        nonlocal served, refused
        try:
            async with gate:
                served += 1
        except Overloaded:
            refused += 1

    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        for _ in range(200):
            group.start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        # Nobody was served, and their patience has not run out: it was the pace that refused them.
        assert served == 0
        assert refused > 100
        assert anyio.current_time() - began < 0.5
        leave.set()
    assert served + refused == 200


async def test_a_slow_past_is_forgotten_by_serving() -> None:
    gate = Gate(1, 1_000, patience=1)
    gate._pace.seconds = 60  # noqa: SLF001 - as after a standstill
    with pytest.raises(ExceptionGroup):
        await turns(gate, 20, 0)
    for _ in range(100):
        await turns(gate, 2, 0)
    await turns(gate, 20, 0)


async def test_whoever_hangs_up_leaves_the_queue_and_the_others_move_up() -> None:
    gate, leave, hung_up = Gate(1, 10), anyio.Event(), anyio.Event()
    served: list[str] = []

    async def visit(name: str, gone: anyio.Event) -> None:
        try:
            async with gate.place(leaving=gone.wait):
                served.append(name)
        except Overloaded:
            served.append(f"{name} left")

    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        for name, gone in (("a", anyio.Event()), ("b", hung_up), ("c", anyio.Event())):
            await anyio.wait_all_tasks_blocked()
            group.start_soon(visit, name, gone)
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 3
        hung_up.set()
        with anyio.fail_after(10):
            while not served:  # noqa: ASYNC110 - it is the gate that is watched
                await anyio.sleep(0.001)
        assert (gate.waiting, served) == (2, ["b left"])
        leave.set()
    assert served == ["b left", "a", "c"]
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_a_place_granted_to_one_who_is_cancelled_goes_to_the_next() -> None:
    gate, leave = Gate(1, 10), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(turns, gate, 1, 0)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(turns, gate, 1, 0)
                await anyio.wait_all_tasks_blocked()
                # In one step of the loop the place is given away, and the one that it is for is cancelled.
                leave.set()
                await anyio.lowlevel.checkpoint()
                scope.cancel()
    assert (gate.inside, gate.waiting) == (0, 0)


# Lanes


async def order(gate: Gate, arrivals: Sequence[Lane]) -> str:
    """Let these come in order while the gate is held, and return the order in which they are let in."""
    leave, served = anyio.Event(), []

    async def visit(lane: Lane) -> None:
        async with gate.place(lane):
            served.append(lane.value[0])

    async with anyio.create_task_group() as group:
        group.start_soon(hold, gate, leave)
        for lane in arrivals:
            await anyio.wait_all_tasks_blocked()
            group.start_soon(visit, lane)
        await anyio.wait_all_tasks_blocked()
        leave.set()
    return "".join(served)


async def test_the_door_goes_before_the_public_and_neither_starves() -> None:
    arrivals = [*[Lane.PUBLIC] * 6, *[Lane.DOOR] * 7]
    assert await order(Gate(1, 100), arrivals) == "dddpdddpdpppp"


async def test_a_flood_of_the_public_leaves_room_for_the_door() -> None:
    gate, leave = Gate(1, 5), anyio.Event()
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(hold, gate, leave)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            async with gate:
                pass
        group.start_soon(visit_door, gate)
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 6
        leave.set()
    assert gate.inside == 0


async def visit_door(gate: Gate) -> None:
    async with gate.place(Lane.DOOR):
        pass


# Threads


async def test_work_is_done_on_threads_and_past_the_queue_refused() -> None:
    threads, leave = Threads(1, 0), anyio.Event()
    assert await threads.run(sum, [1, 2]) == 3
    async with anyio.create_task_group() as group:
        group.start_soon(hold, threads.gate, leave)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await threads.run(sum, [1, 2])
        leave.set()


# How long to stay away


@pytest.mark.parametrize(
    ("wait", "least", "most"), [(0, 1, 1), (0.4, 1, 1), (3, 3, 6), (30, 30, 60), (10_000, 30, 60)]
)
async def test_the_refused_are_told_to_come_back_at_different_times(
    wait: float, least: int, most: int
) -> None:
    told = [int(Overloaded(wait=wait).headers["Retry-After"]) for _ in range(200)]
    assert least <= min(told) <= max(told) <= most
    assert len(set(told)) > 1 or most == 1
