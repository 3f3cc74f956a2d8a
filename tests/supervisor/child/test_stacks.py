"""What of a hung or crashed child's stacks is shown: where each thread stands, the one that matters first."""

from __future__ import annotations

from supervisor.child import stacks

HUNG = """Thread 0x00007f (most recent call first):
  File "runtime.py", line 5 in watch
  File "threading.py", line 9 in run

Thread 0x00008f (most recent call first):
  File "ssl.py", line 1166 in read
""" + "\n".join(f'  File "somewhere.py", line {number} in frame_{number}' for number in range(200))

CRASH = """Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "codec.py", line 5 in encode

Thread 0x00008f (most recent call first):
  File "image.py", line 9 in main
"""


def test_the_innermost_frames_of_every_thread_the_main_thread_first() -> None:
    shown = stacks.digest(HUNG)
    assert shown.index("ssl.py") < shown.index("in watch")
    assert "frame_0" in shown and "frame_150" not in shown
    assert len(shown) <= stacks.DIGEST_LENGTH


def test_the_thread_that_crashed_first() -> None:
    shown = stacks.digest(CRASH)
    assert shown.startswith("Fatal Python error") and shown.index("in encode") < shown.index("in main")


def test_the_log_has_every_line_once_in_pieces_that_fit() -> None:
    found = stacks.pieces(HUNG)
    assert all(len(piece) <= stacks.PIECE_LENGTH for piece in found)
    assert sorted("\n".join(found).splitlines()) == sorted(filter(None, HUNG.splitlines()))


def test_a_child_that_has_shown_nothing() -> None:
    assert stacks.digest("") == "" and stacks.pieces("") == []
