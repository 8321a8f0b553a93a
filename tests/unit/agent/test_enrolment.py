"""A one-time code becomes a till, once; a lost answer costs nothing but another try."""

import stat
from pathlib import Path

import msgspec
import pytest

from agent.enrolment import PENDING_KEY_FILE, enrol_till
from agent.errors import EnrolmentError
from agent.identity import Identity, load_identity, save_identity
from sync.codec import decode
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.signing import check, enrol_content
from tests.support.till import CARD_KEY, CENTRE_KEY, IDENTITY, NOON_MS, RULE_KEY, SetSystem
from tests.unit.agent.scripted_centre import (
    ScriptedCentre,
    always,
    raw,
    refusing,
    scripted_centre,
    signed,
)

ANSWER = EnrolAnswer(
    till_id=17,
    place=IDENTITY.place,
    card_key=CARD_KEY,
    centre_key=CENTRE_KEY.public,
    rule_keys=(RULE_KEY.public,),
    server_time_ms=NOON_MS,
)


async def enrolled(folder: Path, centre: ScriptedCentre, code: str = "abcde-fghjk ") -> Identity:
    return await enrol_till(folder, centre_url=centre.url, code=code, system=SetSystem())


def asked(centre: ScriptedCentre, number: int = 0) -> EnrolRequest:
    return decode(EnrolRequest, centre.heard[number].body)


async def test_a_code_becomes_a_till(tmp_path: Path) -> None:
    async with scripted_centre(signed(ANSWER)) as centre:
        identity = await enrolled(tmp_path / "data", centre)
    request = asked(centre)
    assert request.code == "ABCDE-FGHJK"
    check(request.public_key, request.signature, enrol_content(request))
    assert load_identity(tmp_path / "data" / "identity.json") == identity
    assert (identity.till_id, identity.centre_url) == (17, centre.url)
    assert len(identity.pos_token) >= 32
    assert not (tmp_path / "data" / PENDING_KEY_FILE).exists()


async def test_the_private_key_leaves_only_for_a_file_its_owner_alone_reads(tmp_path: Path) -> None:
    async with scripted_centre(refusing("busy", 409), signed(ANSWER)) as centre:
        with pytest.raises(EnrolmentError):
            await enrolled(tmp_path, centre)
        pending = tmp_path / PENDING_KEY_FILE
        assert stat.S_IMODE(pending.stat().st_mode) == 0o600
        seed = pending.read_bytes()
        identity = await enrolled(tmp_path, centre)
    assert identity.key_seed == seed
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600
    for heard in centre.heard:
        assert seed not in heard.body
        assert seed.hex().encode() not in heard.body


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(tmp_path: Path) -> None:
    async with scripted_centre(always(b""), signed(ANSWER)) as centre:
        with pytest.raises(EnrolmentError, match="did not enrol this till"):
            await enrolled(tmp_path, centre)
        await enrolled(tmp_path, centre)
    assert asked(centre, 0).public_key == asked(centre, 1).public_key


async def test_a_till_is_enrolled_once(tmp_path: Path) -> None:
    async with scripted_centre(signed(ANSWER)) as centre:
        await enrolled(tmp_path, centre)
        before = (tmp_path / "identity.json").read_bytes()
        with pytest.raises(EnrolmentError, match="enrolled already"):
            await enrolled(tmp_path, centre)
    assert len(centre.heard) == 1
    assert (tmp_path / "identity.json").read_bytes() == before


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"", b"\x80"])
async def test_an_answer_that_is_no_enrolment_makes_no_till(tmp_path: Path, body: bytes) -> None:
    async with scripted_centre(always(raw(200, body))) as centre:
        with pytest.raises(EnrolmentError):
            await enrolled(tmp_path, centre)
    assert not (tmp_path / "identity.json").exists()


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    async with scripted_centre(refusing("code_used", 403)) as centre:
        with pytest.raises(EnrolmentError, match="code_used: do something else"):
            await enrolled(tmp_path, centre)


@pytest.mark.parametrize("left", [b"", b"short", bytes(33)])
async def test_a_pending_key_that_is_none_is_named_and_not_sent(
    tmp_path: Path, left: bytes
) -> None:
    (tmp_path / PENDING_KEY_FILE).write_bytes(left)
    async with scripted_centre(signed(ANSWER)) as centre:
        with pytest.raises(EnrolmentError, match=PENDING_KEY_FILE):
            await enrolled(tmp_path, centre)
    assert centre.heard == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b"[" * 5_000, msgspec.json.encode(IDENTITY)[:-20]],
)
def test_an_identity_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(EnrolmentError, match=r"identity\.json"):
        load_identity(tmp_path / "identity.json")


def test_an_identity_that_is_missing_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="tillside-agent enrol --centre"):
        load_identity(tmp_path / "identity.json")


def test_an_identity_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    save_identity(path, IDENTITY)
    other = msgspec.structs.replace(IDENTITY, pos_token="another")
    save_identity(path, other)
    assert load_identity(path) == other
    assert [left.name for left in tmp_path.iterdir()] == ["identity.json"]
