import threading
from contextvars import copy_context

from ctseg.stages import listening, stage


class Ear:
    def __init__(self):
        self.heard = []

    def note(self, name, start, end, slices, pixels):
        self.heard.append((name, threading.current_thread().name))
        assert 0 < start <= end


def test_stages_are_heard_by_who_listens_and_by_nobody_else():
    ear = Ear()
    with stage("read"):
        pass
    with listening(ear):
        with stage("decode"):
            pass
        with stage("infer"):
            pass
    with stage("write"):
        pass
    assert [name for name, _ in ear.heard] == ["decode", "infer"]


def test_a_stage_that_fails_has_ended_too():
    ear = Ear()
    try:
        with listening(ear), stage("decode"):
            raise ValueError
    except ValueError:
        pass
    assert [name for name, _ in ear.heard] == ["decode"]


def test_threads_in_a_copy_of_the_context_are_heard():
    ear = Ear()

    def work():
        with stage("infer"):
            pass

    with listening(ear):
        heard = threading.Thread(target=copy_context().run, args=(work,), name="heard")
        deaf = threading.Thread(target=work, name="deaf")
        for thread in (heard, deaf):
            thread.start()
            thread.join()
    assert ear.heard == [("infer", "heard")]
