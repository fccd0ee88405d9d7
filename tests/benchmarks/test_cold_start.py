"""Test the output of the cold start benchmark."""

from __future__ import annotations

from benchmarks.cold_start import Sample, show_comparison, take_median


def test_table_has_a_ratio_for_each_column() -> None:
    """The table has a row for each function and the ratio of Lockgate to the minimal one."""
    empty = Sample(total=3, cpu=2, init=1, peak_mb=10, phases=(1, 2))
    minimal = Sample(total=21, cpu=20, init=1, peak_mb=50, phases=(1, 2, 3, 4, 5, 6))
    ours = Sample(total=42, cpu=10, init=1, peak_mb=75, phases=(2, 2, 3, 4, 5, 6))

    table = show_comparison({"empty": [empty], "minimal": [minimal], "lockgate": [ours]})

    assert table.splitlines()[2:] == [
        "| empty | 1 |  |  |  |  | 2 | 3 | 2 | 10 |",
        "| minimal | 1 | 2 | 3 | 4 | 5 | 6 | 21 | 20 | 50 |",
        "| lockgate | 2 | 2 | 3 | 4 | 5 | 6 | 42 | 10 | 75 |",
        "| ratio | 2.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 2.00 | 0.50 | 1.50 |",
    ]


def test_median_of_memory_is_the_most() -> None:
    """Peak memory is the maximum, not the median, because a function must be sized for it."""
    samples = [Sample(total=n, cpu=n, init=n, peak_mb=n, phases=(n, n)) for n in (1.0, 9.0, 2.0)]

    assert take_median(samples) == Sample(total=2, cpu=2, init=2, peak_mb=9, phases=(2, 2))
