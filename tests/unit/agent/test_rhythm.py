"""A till talks less while nothing happens, and never less while others may need what it holds."""

from agent.link.rhythm import Rhythm


def pauses(rhythm: Rhythm, times: int, *, news: bool = False, rights: bool = False) -> list[float]:
    return [rhythm.pause_s(brought_news=news, holds_rights=rights) for _ in range(times)]


def test_pauses_grow_while_nothing_happens_and_no_further_than_sixteen_times() -> None:
    assert pauses(Rhythm(15), 7) == [15, 30, 60, 120, 240, 240, 240]


def test_news_bring_the_usual_pause_back() -> None:
    rhythm = Rhythm(15)
    pauses(rhythm, 5)
    assert pauses(rhythm, 1, news=True) == [15]
    assert pauses(rhythm, 2) == [30, 60]


def test_a_till_that_holds_points_keeps_its_pace() -> None:
    assert pauses(Rhythm(15), 4, rights=True) == [15] * 4
