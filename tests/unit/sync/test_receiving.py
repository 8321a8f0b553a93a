"""How the centre judges a HELLO and a push: one row a case, a letter a record."""

from dataclasses import dataclass

import pytest

from sync.chain import first_link, links
from sync.errors import MalformedMessageError
from sync.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from sync.messages import Hello, Push
from sync.receiving import StreamState, judge_hello, judge_push

TILL_ID, INCARNATION = 17, b"12345678"
START = first_link(TILL_ID, INCARNATION)

# Columns: what the till's stream holds and how much of it is acknowledged, what the centre holds of
# this stream ("-": it does not know the stream, "0": it knows it and has no record), the numbers of
# this incarnation and of the newest one the centre knows.
HELLOS = """
case                                  | till | acked | centre | number | newest | verdict | verified
first stream, nothing recorded        | 0    | 0     | -      | 1      | 0      | ok      | yes
first stream                          | a    | 0     | -      | 1      | 0      | ok      | yes
stream after an older one             | ab   | 0     | -      | 2      | 1      | ok      | yes
stream after a jump of the number     | ab   | 0     | -      | 9      | 1      | ok      | yes
same records on both sides            | abc  | 3     | abc    | 1      | 1      | ok      | yes
till has more                         | abcd | 2     | ab     | 1      | 1      | ok      | yes
centre has none yet                   | ab   | 0     | 0      | 1      | 1      | ok      | yes
both have none                        | 0    | 0     | 0      | 1      | 1      | ok      | yes
last acknowledgement was lost         | abc  | 1     | abc    | 1      | 1      | ok      | yes
lost, and the till has gone on        | abcd | 1     | abc    | 1      | 1      | ok      | no
centre lost its last records          | abcd | 3     | a      | 1      | 1      | rewind  | no
centre lost all records               | abc  | 3     | 0      | 1      | 1      | rewind  | no
centre lost the stream                | abc  | 2     | -      | 1      | 0      | rewind  | no
till restored to an older copy        | ab   | 2     | abc    | 1      | 1      | amnesia | no
till restored to the beginning        | 0    | 0     | a      | 1      | 1      | amnesia | no
restored and sold as many again       | abX  | 2     | abc    | 1      | 1      | amnesia | no
other record at the acknowledged one  | aXcd | 2     | ab     | 1      | 1      | amnesia | no
other record where neither end is     | aXcd | 1     | abc    | 1      | 1      | ok      | no
old incarnation speaks again          | abc  | 3     | abc    | 1      | 2      | amnesia | no
old incarnation has more records      | abcd | 3     | abc    | 1      | 2      | amnesia | no
new stream with the newest number     | a    | 0     | -      | 1      | 1      | amnesia | no
new stream with an older number       | a    | 0     | -      | 1      | 3      | amnesia | no
"""

# Columns: what the centre holds, what the till's stream holds, which of its records are sent.
PUSHES = """
case                                  | centre | till   | sent | verdict | skip
first records                         | 0      | ab     | 1-2  | ack     | 0
next records                          | abc    | abcde  | 4-5  | ack     | 0
one record                            | abc    | abcd   | 4-4  | ack     | 0
the same again                        | abcde  | abcde  | 4-5  | ack     | 2
the same again, long ago              | abcdef | abcdef | 1-2  | ack     | 2
the same again, till has lost the end | abcdef | abc    | 2-3  | ack     | 2
everything again                      | abc    | abc    | 1-3  | ack     | 3
overlap                               | abcd   | abcdef | 3-6  | ack     | 2
overlap from the beginning            | ab     | abcd   | 1-4  | ack     | 2
gap of one                            | abc    | abcde  | 5-5  | gap     | 0
gap, centre has nothing               | 0      | abc    | 2-3  | gap     | 0
gap, whatever is before it            | a      | Xbcde  | 4-5  | gap     | 0
other record before                   | abc    | aXcd   | 4-4  | fork    | 0
other record just before              | abc    | abXd   | 4-4  | fork    | 0
other record before, all of it known  | abcd   | Xbcd   | 3-4  | fork    | 0
first record changed                  | abc    | Xbc    | 1-1  | fork    | 0
record changed in the overlap         | abcd   | abXde  | 3-5  | fork    | 0
last of the overlap changed           | abcd   | abcXe  | 3-5  | fork    | 0
two records swapped                   | abcd   | acbde  | 2-5  | fork    | 0
restored and went on differently      | abcd   | abXY   | 3-4  | fork    | 0
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One case by its columns."""

    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def letters(self, column: str) -> str:
        """Return the records of a column; none for 0."""
        return self.cells[column].replace("0", "")

    def __str__(self) -> str:
        return self.cells["case"]


def rows(table: str) -> list[Row]:
    """Read a table of columns divided by bars."""
    first, *rest = table.strip().splitlines()
    names = [name.strip() for name in first.split("|")]
    return [
        Row(dict(zip(names, (cell.strip() for cell in line.split("|")), strict=True)))
        for line in rest
    ]


def chain(letters: str) -> list[bytes]:
    """Return all links over these records, the stream's first link before them."""
    return [START, *links(START, [letter.encode() for letter in letters])]


def state(letters: str, number: int = 1) -> StreamState:
    """Return what a centre that holds these records knows."""
    return StreamState(INCARNATION, number, len(letters), chain(letters)[-1])


def push_of(till: str, first: int, last: int) -> Push:
    """Return a push of some records of a stream."""
    return Push(
        incarnation=INCARNATION,
        from_seq=first,
        previous_hash=chain(till)[first - 1],
        records=tuple(letter.encode() for letter in till[first - 1 : last]),
    )


def known(letters: str) -> dict[int, bytes]:
    """Return the centre's links by seq, as its table has them: none for 0."""
    return dict(enumerate(chain(letters)[1:], start=1))


@pytest.mark.parametrize("row", rows(HELLOS), ids=str)
def test_hello(row: Row) -> None:
    till, acked, number = row.letters("till"), int(row["acked"]), int(row["number"])
    hello = Hello(
        incarnation=INCARNATION,
        incarnation_number=number,
        seq=len(till),
        head=chain(till)[-1],
        acked_seq=acked,
        acked_hash=chain(till)[acked],
        clock_ms=0,
        bundle="",
        software="",
    )
    stream = None if row["centre"] == "-" else state(row.letters("centre"), number)
    judgement = judge_hello(hello, stream, newest_incarnation_number=int(row["newest"]))
    verified = "yes" if judgement.verified else "no"
    assert (judgement.verdict, verified) == (row["verdict"], row["verified"])


@pytest.mark.parametrize(
    ("till", "centre", "verdict"),
    [("abcd", "abc", "ok"), ("abc", "abcd", "amnesia"), ("abX", "abc", "amnesia")],
)
def test_of_two_machines_each_goes_on_in_its_own_stream(
    till: str, centre: str, verdict: str
) -> None:
    hello = Hello(
        incarnation=INCARNATION,
        incarnation_number=1,
        seq=len(till),
        head=chain(till)[-1],
        acked_seq=len(till) - 1,
        acked_hash=chain(till)[-2],
        clock_ms=0,
        bundle="",
        software="",
    )
    alone = judge_hello(hello, state(centre), newest_incarnation_number=5)
    beside = judge_hello(hello, state(centre), newest_incarnation_number=5, has_copies=True)
    assert (alone.verdict, beside.verdict) == ("amnesia", verdict)


@pytest.mark.parametrize("row", rows(PUSHES), ids=str)
def test_push(row: Row) -> None:
    first, last = (int(seq) for seq in row["sent"].split("-"))
    till, centre = row.letters("till"), row.letters("centre")
    judgement = judge_push(
        push_of(till, first, last), state(centre), known(centre), till_id=TILL_ID
    )
    assert (judgement.verdict, judgement.skip) == (row["verdict"], int(row["skip"]))
    assert list(judgement.hashes) == chain(till)[first : last + 1]


def test_every_verdict_stands_in_the_tables() -> None:
    # "revoked" is not judged from streams: it is said to a till whose key was struck off.
    assert {(row["verdict"], row["verified"]) for row in rows(HELLOS)} == {
        ("ok", "yes"),
        ("ok", "no"),
        ("rewind", "no"),
        ("amnesia", "no"),
    }
    assert {row["verdict"] for row in rows(PUSHES)} == {"ack", "gap", "fork"}
    for table in (HELLOS, PUSHES):
        cases = [row["case"] for row in rows(table)]
        assert len(set(cases)) == len(cases)


def test_only_the_links_around_the_push_need_be_known() -> None:
    near = {seq: link for seq, link in known("abcdef").items() if 3 <= seq <= 6}
    judgement = judge_push(push_of("abcdefgh", 4, 8), state("abcdef"), near, till_id=TILL_ID)
    assert (judgement.verdict, judgement.skip) == ("ack", 3)


def test_chain_of_another_till_or_incarnation_is_a_fork_from_its_first_record() -> None:
    push = push_of("ab", 1, 2)
    other = Push(
        incarnation=b"87654321",
        from_seq=1,
        previous_hash=push.previous_hash,
        records=push.records,
    )
    assert judge_push(push, state(""), {}, till_id=TILL_ID + 1).verdict == "fork"
    assert judge_push(other, state(""), {}, till_id=TILL_ID).verdict == "fork"


def push_of_sizes(*sizes: int) -> Push:
    """Return a first push of records of these sizes."""
    return Push(
        incarnation=INCARNATION,
        from_seq=1,
        previous_hash=START,
        records=tuple(bytes(size) for size in sizes),
    )


@pytest.mark.parametrize(
    "sizes",
    [
        (1,) * BATCH_RECORDS_MAX,
        (BATCH_BYTES_MAX // 2, BATCH_BYTES_MAX // 2),
        (BATCH_BYTES_MAX,),
        (BATCH_BYTES_MAX + 1,),
    ],
    ids=["most records", "most bytes", "one longest record", "one record too long for any batch"],
)
def test_batch_within_the_limits_is_judged(sizes: tuple[int, ...]) -> None:
    judgement = judge_push(push_of_sizes(*sizes), state(""), {}, till_id=TILL_ID)
    assert (judgement.verdict, len(judgement.hashes)) == ("ack", len(sizes))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((), "1 to 500 records, this one 0"),
        ((1,) * (BATCH_RECORDS_MAX + 1), "1 to 500 records, this one 501"),
        ((BATCH_BYTES_MAX, 1), f"at most {BATCH_BYTES_MAX} bytes"),
    ],
    ids=["no record", "too many records", "too many bytes"],
)
def test_batch_outside_the_limits_is_malformed(sizes: tuple[int, ...], said: str) -> None:
    with pytest.raises(MalformedMessageError, match=said):
        judge_push(push_of_sizes(*sizes), state(""), {}, till_id=TILL_ID)
