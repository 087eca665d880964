"""What a build writes where no terminal draws bars."""

from amber_jax.corpora import summary


def test_lines_tell_rate_and_time_left_of_what_is_done_now(monkeypatch):
    now, lines = [0.0], []
    report = summary._lines(lines.append, clock=lambda: now[0])
    report("tokenize", 600_000_000, 1_000_000_000)  # done before this process began
    for seconds, done in ((20, 640_000_000), (40, 680_000_000), (60, 720_000_000)):
        now[0] = seconds
        report("tokenize", done, 1_000_000_000)
    assert lines == ["tokenize 68% of 1,000.0 MB, 2.00 MB/s, 3 min left"]
    now[0] = 4060
    report("tokenize", 721_000_000, 1_000_000_000)
    assert lines[-1].endswith("0.03 MB/s, 2 h 36 min left")
    now[0] = 4061
    report("write", 5, 10)
    assert len(lines) == 2
    now[0] = 4100
    report("write", 10, 10)
    assert lines[-1] == "write 100% of 0.0 MB, 0.00 MB/s, 0 s left"
