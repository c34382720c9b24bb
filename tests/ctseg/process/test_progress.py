import io

from rich.console import Console

from ctseg.process.progress import busy, redraws


def test_only_a_terminal_is_drawn_on_again_and_again():
    log, terminal = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    forced = Console(file=log, force_terminal=True, force_interactive=True)  # as by FORCE_COLOR
    assert not redraws(forced)
    with busy(forced, "working"):
        pass
    assert log.getvalue() == ""
    assert redraws(Console(file=terminal, force_terminal=True, force_interactive=True))
