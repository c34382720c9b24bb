import threading

import pytest

from ctseg_batch.parts.workers import Workers


@pytest.mark.parametrize("count", [1, 4])
def test_all_tasks_are_done_before_the_end(count):
    done = set()
    with Workers(count) as workers:
        for number in range(500):
            workers.add(lambda number=number: done.add(number))
    assert done == set(range(500))


def test_one_worker_keeps_the_order_and_takes_what_is_next_first():
    done = []

    def first():
        done.append("first")
        workers.add_next(lambda: done.append("urgent"))

    began = threading.Event()
    with Workers(1) as workers:
        workers.add(began.wait)
        workers.add(first)
        workers.add(lambda: done.append("last"))
        began.set()
    assert done == ["first", "urgent", "last"]


def test_tasks_run_beside_each_other():
    together = threading.Barrier(3, timeout=20)
    with Workers(3) as workers:
        for _ in range(3):
            workers.add(lambda: together.wait() and None)


def test_handing_over_waits_for_room():
    gate, added = threading.Event(), []

    def hand_over():
        with Workers(1) as workers:
            for number in range(1000):
                workers.add(gate.wait)
                added.append(number)

    thread = threading.Thread(target=hand_over)
    thread.start()
    thread.join(0.3)
    waiting = len(added)
    gate.set()
    thread.join()
    assert 1 <= waiting < 1000
    assert len(added) == 1000


def test_what_a_task_raises_is_raised_and_ends_the_rest():
    done, begun = [], threading.Event()

    def fail():
        begun.wait()
        raise ValueError("the third task")

    def hand_over():
        with Workers(1) as workers:
            workers.add(lambda: done.append(1))
            workers.add(fail)
            workers.add(lambda: done.append(2))
            begun.set()

    with pytest.raises(ValueError, match="the third task"):
        hand_over()
    assert done == [1]


def test_handing_over_after_a_failure_raises_it():
    def fail():
        raise ValueError("broken")

    def hand_over():
        with Workers(1) as workers:
            while True:
                workers.add(fail)

    with pytest.raises(ValueError, match="broken"):
        hand_over()


def test_an_interruption_leaves_what_waits_undone():
    done, running, gate = [], threading.Event(), threading.Event()

    def long():
        running.set()
        gate.wait()
        done.append("running")

    def hand_over():
        with Workers(1) as workers:
            workers.add(long)
            workers.add(lambda: done.append("waiting"))
            running.wait()
            threading.Timer(0.05, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hand_over()
    assert done == ["running"]


def test_while_one_task_waits_for_the_disk_others_are_done():
    kept, done = threading.Event(), threading.Event()
    with Workers(1) as workers:
        workers.add(lambda: workers.add_waiting(lambda: done.wait(20) and kept.set()))
        workers.add(done.set)
    assert kept.is_set()


def test_no_more_is_piled_up_for_the_disk_than_it_takes():
    disk, waits, handed_over = threading.Event(), threading.Event(), []

    def hand_over():
        for number in range(3):
            workers.add_waiting(lambda: waits.set() or disk.wait(20))
            handed_over.append(number)

    with Workers(1) as workers:
        workers.add(hand_over)
        waits.wait(20)
        disk.wait(0.2)
        before = len(handed_over)
        disk.set()
    assert before == 1  # the second is done by who would hand it over
    assert len(handed_over) == 3


@pytest.mark.parametrize("late", [False, True])
def test_an_interruption_does_not_lose_what_waits_for_the_disk(late):
    done, running, gate = [], threading.Event(), threading.Event()

    def last_of_a_scan():
        if late:
            running.set()
            gate.wait(20)
        workers.add_waiting(lambda: gate.wait(20) and done.append("kept"))
        running.set()

    with pytest.raises(KeyboardInterrupt), Workers(1) as workers:  # noqa: PT012
        workers.add(last_of_a_scan)
        running.wait(20)
        threading.Timer(0.1, gate.set).start()
        raise KeyboardInterrupt
    assert done == ["kept"]
